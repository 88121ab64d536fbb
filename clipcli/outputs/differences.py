"""Compares two runs: lists the settings and facts about the model that would change rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clipcli.records import ModelRecord, Provenance

# Every setting changes rows, except the harmless ones. Some settings are compared by content and not as written: a
# file of labels may have been renamed.
_HARMLESS = {
    *("batch_size", "workers", "cache", "no_cache", "cache_size", "verify", "quiet", "verbose", "offline"),
    *("output", "format", "resume", "overwrite", "no_manifest"),
    *("isolate", "untrusted", "decode_timeout", "decode_memory"),
}
# What earlier versions did, which had no such setting; a switch was off.
_BEFORE = {"truncated": "error"}
_BY_CONTENT = {"inputs", "exclude", "labels", "classifier", "prompts", "model", "keep_columns", "keep_duplicates"} | {
    *("max_images", "sample", "taxonomy", "also", "null"),
}
# Settings that say how another one is done count only where that one is on.
_WITH = {
    "unknown_label": "unknown",
    "unknown_at": "unknown",
    "multi_label_at": "multi_label",
    "wide": "multi_label",
    "frame_rows": "frames",
}
# Messages show this many values of a list, and digits of a fingerprint.
_FEW = 3
_DIGITS = 12


def differences(before: Provenance, now: Provenance) -> list[str]:
    """A phrase for each setting that changes rows and differs, with its old and new value.

    The inputs are not compared, and of the model only its name.
    """
    found = [] if before.command == now.command else [f"the command was {before.command} and is {now.command}"]
    found += _of_classes(before, now)
    if before.model != now.model:
        found.append(_changed("--model", before.model, now.model))
    if before.kept != now.kept:
        found.append(_changed("--keep-columns", before.kept, now.kept))
    names = [name for name in {**before.settings, **now.settings} if name not in _HARMLESS | _BY_CONTENT]
    for name in names:
        if name in _WITH and not now.settings.get(_WITH[name]):
            continue
        was, is_ = before.settings.get(name), now.settings.get(name)
        if was != is_ and not (was is None and is_ == _BEFORE.get(name, False)):
            found.append(_changed(f"--{name.replace('_', '-')}", was, is_))
    return found


def differences_of_models(before: ModelRecord, now: ModelRecord) -> list[str]:
    """A phrase for each fact about the model that changes rows and differs, with its old and new value."""
    found = []
    if before.fingerprint != now.fingerprint:
        was, is_ = before.fingerprint[:_DIGITS], now.fingerprint[:_DIGITS]
        found.append(f"the weights of {now.name} were others (fingerprint {was}, now {is_})")
    if before.preprocessing != now.preprocessing:
        found.append(f"the preprocessing of {now.name} was another ({before.preprocessing}, now {now.preprocessing})")
    if before.pixels != now.pixels:
        found.append("its images became pixels in the way of another version of clipcli")
    if before.precision != now.precision:
        found.append(_changed("--precision", before.precision, now.precision))
    if before.device != now.device and before.device is not None and now.device is not None:
        found.append(_changed("--device", before.device, now.device))
    return found


def _of_classes(before: Provenance, now: Provenance) -> list[str]:
    flag = "--classifier" if now.classifier else "--labels"
    if (before.classifier is None) != (now.classifier is None):
        return [f"the classes were given by {'--labels' if now.classifier else '--classifier'} and are by {flag}"]
    labels_before, labels = (tuple(labelled["label"] for labelled in run.classes) for run in (before, now))
    if labels_before != labels:
        return [_changed(flag, labels_before, labels)]
    if before.classifier != now.classifier:
        return ["--classifier was another, of the same labels"]
    found = []
    pairs = zip(before.classes, now.classes, strict=True)
    changed = next(((old, new) for old, new in pairs if old != new), None)
    if changed is not None:
        what = "groups" if changed[0].get("groups") != changed[1].get("groups") else "aliases or descriptions"
        found.append(f"--labels gave other {what} of '{changed[0]['label']}'")
    if before.templates != now.templates:
        same = before.prompts == now.prompts
        found.append(
            f"the templates of --prompts {now.prompts} were others"
            if same
            else _changed("--prompts", before.prompts, now.prompts)
        )
    return found


def _changed(flag: str, was: Any, is_: Any) -> str:
    return f"{flag} was {_shown(was, is_)} and is {_shown(is_, was)}"


def _shown(value: Any, other: Any) -> str:
    """A value as a message shows it; a long list is shortened to start at the first difference from `other`."""
    if value is None or value == ():
        return "not given"
    if isinstance(value, str) or not isinstance(value, Sequence):
        return str(value)
    place = next((n for n, (a, b) in enumerate(zip(value, other or (), strict=False)) if a != b), 0)
    start = place if place + 1 > _FEW else 0
    shown = ", ".join(map(str, value[start : start + _FEW]))
    left = len(value) - len(value[start : start + _FEW])
    return f"{'…, ' if start else ''}{shown}" + (f" and {left:,} more" if left else "")
