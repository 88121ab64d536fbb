"""The command that `classify` proposes at its end: how many labels are right, once wrong ones are corrected."""

from __future__ import annotations

import csv
import dataclasses
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipcli.classes.given import STDIN, is_file, split_labels
from clipcli.commands.classify.settings import ClassifySettings, RowsFile
from clipcli.outputs.check import is_stream

# Settings of both commands by which an image may get another label.
_DECIDING = (
    *("classifier", "model", "prompts", "precision", "decode", "color", "keep_names", "keep_duplicates"),
    *("taxonomy", "refine", "multi_label", "multi_label_at"),
)


def next_command(settings: ClassifySettings, file: RowsFile) -> list[str]:
    """The parts of `clipcli evaluate` with the settings of this run; empty where it cannot be typed.

    Nor is it where rows may be unknown or have a group as label, which are no classes, or where one label stands alone.
    """
    has_others = settings.unknown or settings.back_off is not None
    if has_others or is_stream(file.output) or settings.labels == STDIN or isinstance(settings.labels, Mapping):
        return []
    if settings.labels is not None and not is_file(settings.labels) and len(_each(settings.labels)) == 1:
        return []
    parts = ["clipcli evaluate", shlex.quote(file.output)]
    if settings.labels is not None:
        parts.append(f"--labels {shlex.quote(_labels(settings.labels))}")
    defaults = {field.name: field.default for field in dataclasses.fields(ClassifySettings)}
    for name in _DECIDING:
        value, flag = getattr(settings, name), f"--{name.replace('_', '-')}"
        if value is True:
            parts.append(flag)
        elif value != defaults[name]:
            parts.append(f"{flag} {shlex.quote(str(value))}")
    # Of many labels some have no image.
    return [*parts, "--allow-empty"]


def _labels(labels: str | Path | Sequence[str]) -> str:
    """A labels file as it was given, or labels on one line, with commas."""
    if isinstance(labels, Path) or is_file(labels):
        return str(labels)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(_each(labels))
    return stream.getvalue()


def _each(labels: str | Path | Sequence[str]) -> list[str]:
    """Labels that were given themselves, one by one."""
    return split_labels(labels) if isinstance(labels, str) else list(labels) if not isinstance(labels, Path) else []
