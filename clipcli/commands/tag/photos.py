"""The photos of an output that can be tagged, each with the keywords that it is to have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from clipcli.actions.keywords import SEPARATORS, Wanted, as_keyword
from clipcli.classes import tree
from clipcli.commands.tag.settings import TagSettings
from clipcli.data.images import list_images
from clipcli.errors import BadFile, InputNotFound, UsageError
from clipcli.files.manifest import Manifest, read_manifest
from clipcli.notices import Notice, Notices
from clipcli.outputs.read import read_rows
from clipcli.records import PERSON, ImageItem, Provenance, Row

# As an image of none of the labels is called where no manifest says it.
_UNKNOWN = "unknown"
# The keyword of a name that has no letter in it, only control characters.
_NO_LETTER = "?"
_NO_FILE = Notice("photo is in a zip or a shard", "photos are in zips or shards", "left alone; only files are tagged")
_GONE = Notice("photo is no longer there", "photos are no longer there", "left out; label the folder again")
_ERROR = Notice("row has an error", "rows have errors", "left alone", warns=False)
_IS_UNKNOWN = Notice("photo is unknown", "photos are unknown", "no keyword is written", warns=False)
_NO_LABEL = Notice("photo has no label", "photos have no label", "no keyword is written", warns=False)
_TOO_LOW = Notice(
    "photo has no label with such a score",
    "photos have no label with such a score",
    "no keyword is written",
    warns=False,
)
_TWICE = Notice("photo is there twice", "photos are there twice", "the first row of each counts")
_CHANGED = Notice(
    "photo was changed since it was labelled",
    "photos were changed since they were labelled",
    "tagged all the same; label again what shows something else by now",
)
_PARTED = Notice(
    "name has a sign that parts groups",
    "names have a sign that parts groups",
    "written with a - in its place where keywords are paths",
    warns=False,
)
_REWRITTEN = Notice(
    "label is no keyword as it is",
    "labels are no keywords as they are",
    "written without line breaks and control characters",
    warns=False,
)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo: its path as the output has it, its file, and what it is to say; `None` for no keyword of clipcli's."""

    path: str
    file: str
    wanted: Wanted | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """Which keywords the labels of a row give.

    A label has the path of `paths`, below the groups of `under`. Of each row the first `most` labels count, those with
    a score of `least` or more; where the first is `unknown`, none does. `model` and `date` are those of the labels, for
    which the photos were read from `begun` on, in seconds.
    """

    paths: Mapping[str, tree.Path]
    unknown: str | None
    model: str | None
    date: str
    begun: float
    least: float | None
    most: int | None
    under: tree.Path


def photos_of(options: TagSettings, notices: Notices) -> tuple[list[Photo], int]:
    """The photos in the order of the rows, and the number of images that are left out; `notices` counts them by reason.

    Raises `InputNotFound` and `BadFile` for what is no output, and `InputNotFound` if no photo is there.
    """
    file = Path(options.predictions)
    schema, rows = read_rows(file)
    rules = _rules(options, file, most=options.top_k or (None if schema.several else 1))
    found: dict[str, Photo] = {}
    left, gone = 0, None
    for row, item in zip(rows, list_images([str(file)], image_column="path", notices=notices), strict=True):
        photo = item.reference.path or ""
        reason = _left_out(row, item, untag=options.untag)
        if reason is not None:
            left += 1
            gone = row.path if reason is _GONE else gone
            notices.add(reason, row.path)
        elif os.path.abspath(photo) in found:
            notices.add(_TWICE, row.path)
        else:
            wanted = None if options.untag else _wanted(row, rules, notices)
            if wanted is not None and os.stat(photo).st_mtime > rules.begun:
                notices.add(_CHANGED, row.path)
            found[os.path.abspath(photo)] = Photo(row.path, photo, wanted)
    if gone is not None and not found:
        raise InputNotFound(
            f"no photo is where {file} says, such as {gone}; paths are from the folder that clipcli classify ran in, so"
            " run this in that folder"
        )
    return list(found.values()), left


def _left_out(row: Row, item: ImageItem, *, untag: bool) -> Notice | None:
    """Why an image is left out; `None` if it is not."""
    if row.error is not None and not untag:
        return _ERROR
    if item.reference.kind != "file" or item.reference.path is None:
        return _NO_FILE
    return None if os.path.isfile(item.reference.path) else _GONE


def _wanted(row: Row, rules: _Rules, notices: Notices) -> Wanted | None:
    """What the photo of a row is to say; `None`, counted, if it gets no keyword."""
    if not row.labels or row.labels[0] == rules.unknown:
        notices.add(_IS_UNKNOWN if row.labels else _NO_LABEL, row.path)
        return None
    pairs = zip(row.labels, row.scores, strict=True)
    chosen = [(label, score) for label, score in pairs if rules.least is None or score >= rules.least][: rules.most]
    if not chosen:
        notices.add(_TOO_LOW, row.path)
        return None
    return Wanted(
        paths=tuple(_keywords((*rules.under, *_path(label, row, rules)), notices) for label, _ in chosen),
        scores=tuple(f"{score:.6g}" for _, score in chosen),
        model=None if row.source == PERSON else rules.model,
        date=rules.date,
    )


def _path(label: str, row: Row, rules: _Rules) -> tree.Path:
    """The groups around a label, and the label. The row's own path counts first, unless its label was corrected."""
    if row.label_path is not None and label == row.labels[0]:
        path = tree.split_path(row.label_path)
        if path[-1:] == (label,):
            return path
    return rules.paths.get(label, (label,))


def _keywords(path: tree.Path, notices: Notices) -> tree.Path:
    """The names of a path as keywords; what is written in another way is counted."""
    names = tuple(as_keyword(name) or _NO_LETTER for name in path)
    for name, keyword in zip(path, names, strict=True):
        if name != keyword:
            notices.add(_REWRITTEN, repr(name))
        if SEPARATORS & set(name):
            notices.add(_PARTED, name)
    return names


def _group(text: str) -> tree.Path:
    names = tuple(as_keyword(name) for name in tree.split_path(text))
    if not all(names):
        raise UsageError(f"--under {text} is no group; write names with a / between them, as in auto/photos")
    return names


def _rules(options: TagSettings, file: Path, *, most: int | None) -> _Rules:
    """The rules, by the settings and the manifest beside the output; without one, by what the output itself tells."""
    manifest: Manifest | None = None
    with suppress(BadFile):
        manifest = read_manifest(file.resolve())
    written = file.stat().st_mtime
    common = _Rules(
        paths={},
        unknown=_UNKNOWN,
        model=None,
        date=datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"),
        begun=written,
        least=options.min_score,
        most=most,
        under=() if options.under is None else _group(options.under),
    )
    if manifest is None:
        return common
    made = manifest.provenance
    return replace(
        common,
        paths=_paths(made),
        unknown=made.settings.get("unknown_label") if made.settings.get("unknown") else None,
        model=made.model if manifest.model is None else manifest.model.name,
        date=manifest.finished or manifest.begun,
        # To the second.
        begun=datetime.fromisoformat(manifest.begun).timestamp() + 1,
    )


def _paths(made: Provenance) -> dict[str, tree.Path]:
    """The path of each label and of each group."""
    paths: dict[str, tree.Path] = {}
    for one in made.classes:
        path = (*one.get("groups", ()), one["label"])
        for n in range(1, len(path) + 1):
            paths.setdefault(path[n - 1], path[:n])
    return paths
