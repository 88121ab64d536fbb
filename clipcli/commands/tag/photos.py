"""The photos of an output that can be tagged, each with the keywords that it is to have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from clipcli.actions.keywords import SEPARATORS, Wanted, as_keyword
from clipcli.actions.labelled import CHANGED, GONE, TWICE, Labelled
from clipcli.classes import tree
from clipcli.commands.tag.settings import TagSettings
from clipcli.errors import UsageError
from clipcli.notices import Notice, Notices
from clipcli.records import PERSON, ImageItem, Row

# As an image of none of the labels is called where no manifest says it.
_UNKNOWN = "unknown"
# The keyword of a name that has no letter in it, only control characters.
_NO_LETTER = "?"
_NO_FILE = Notice("photo is in a zip or a shard", "photos are in zips or shards", "left alone; only files are tagged")
_ERROR = Notice("row has an error", "rows have errors", "left alone", warns=False)
_IS_UNKNOWN = Notice("photo is unknown", "photos are unknown", "no keyword is written", warns=False)
_NO_LABEL = Notice("photo has no label", "photos have no label", "no keyword is written", warns=False)
_TOO_LOW = Notice(
    "photo has no label with such a score",
    "photos have no label with such a score",
    "no keyword is written",
    warns=False,
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


@dataclass(frozen=True, slots=True)
class _Made:
    """How the labels were made: the label of unknown images, if they may be unknown, the model, and the date."""

    unknown: str | None
    model: str | None
    date: str


def photos_of(output: Labelled, options: TagSettings, notices: Notices) -> tuple[list[Photo], int]:
    """The photos in the order of the rows, and the number of images that are left out; `notices` counts them by reason.

    Raises `InputNotFound` if no photo is there.
    """
    under = () if options.under is None else _group(options.under)
    made = _made(output)
    found: dict[str, Photo] = {}
    left, gone = 0, list[str]()
    for row, item in output:
        photo = item.reference.path or ""
        reason = _left_out(row, item, untag=options.untag)
        if reason is not None:
            left += 1
            if reason is GONE:
                gone.append(row.path)
            else:
                notices.add(reason, row.path)
        elif os.path.abspath(photo) in found:
            notices.add(TWICE, row.path)
        else:
            labels = () if options.untag else _labels(row, output, options, unknown=made.unknown, notices=notices)
            if labels and output.is_changed(photo):
                notices.add(CHANGED, row.path)
            wanted = _wanted(row, output, labels, under=under, made=made, notices=notices) if labels else None
            found[os.path.abspath(photo)] = Photo(row.path, photo, wanted)
    output.note_gone(gone, notices, others=bool(found))
    return list(found.values()), left


def _left_out(row: Row, item: ImageItem, *, untag: bool) -> Notice | None:
    """Why an image is left out; `None` if it is not."""
    if row.error is not None and not untag:
        return _ERROR
    if item.reference.kind != "file" or item.reference.path is None:
        return _NO_FILE
    return None if os.path.isfile(item.reference.path) else GONE


def _labels(
    row: Row, output: Labelled, options: TagSettings, *, unknown: str | None, notices: Notices
) -> list[tuple[str, float]]:
    """The labels that the photo of a row is tagged with, with their scores; none, counted, if it gets no keyword."""
    if not row.labels or row.labels[0] == unknown:
        notices.add(_IS_UNKNOWN if row.labels else _NO_LABEL, row.path)
        return []
    found = output.best(row, top_k=options.top_k, min_score=options.min_score)
    if not found:
        notices.add(_TOO_LOW, row.path)
    return found


def _wanted(
    row: Row, output: Labelled, labels: list[tuple[str, float]], *, under: tree.Path, made: _Made, notices: Notices
) -> Wanted:
    """What the photo of a row is to say."""
    return Wanted(
        paths=tuple(_keywords((*under, *output.path_of(label)), notices) for label, _ in labels),
        scores=tuple(f"{score:.6g}" for _, score in labels),
        model=None if row.source == PERSON else made.model,
        date=made.date,
    )


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


def _made(output: Labelled) -> _Made:
    """What the manifest beside the output says; without one, what the output itself tells."""
    manifest = output.manifest
    if manifest is None:
        written = datetime.fromtimestamp(output.read_at, UTC)
        return _Made(_UNKNOWN, None, written.isoformat(timespec="seconds"))
    provenance = manifest.provenance
    return _Made(
        unknown=provenance.settings.get("unknown_label") if provenance.settings.get("unknown") else None,
        model=provenance.model if manifest.model is None else manifest.model.name,
        date=manifest.finished or manifest.begun,
    )
