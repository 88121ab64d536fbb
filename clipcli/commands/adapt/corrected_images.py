"""The images of corrections: those of the classes, and those of none of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.labels import LabelledClass
from clipcli.data.class_names import found_in
from clipcli.data.images import list_images
from clipcli.errors import BadFile, UsageError, some_of
from clipcli.events import Event, Warned
from clipcli.notices import Notice, Notices
from clipcli.outputs.correction import Correction
from clipcli.outputs.corrections import read_corrections
from clipcli.records import ImageItem

# The column of images. Its cells are what corrections are known by; an item is called by where its image was found.
_PATH = "path"
_OTHER = Notice(
    "correction has a label that is none of the classes",
    "corrections have labels that are none of the classes",
    "left out; build a classifier with these labels too, if they matter",
)
_SEVERAL = Notice(
    "correction has several labels",
    "corrections have several labels",
    "only the first of them that is a class is learned, as a classifier gives each image one",
    warns=False,
)


@dataclass(frozen=True, slots=True)
class CorrectedImages:
    """Images with the index of the class `[N]` of each, -1 for none of the classes, and what identifies them all."""

    items: tuple[ImageItem, ...]
    truth: NDArray[np.intp]
    digest: str


def read_corrected(
    files: Sequence[str], classes: Sequence[LabelledClass], notices: Notices
) -> Generator[Event, None, CorrectedImages]:
    """Read the corrections; `notices` counts those that are left out, and each conflict is a warning.

    Raises `UsageError` if no file was given, `BadFile` if no correction can be learned from, and as `read_corrections`.
    """
    if not files:
        raise UsageError("no corrections were given; give --corrections FILE, as clipcli review writes it")
    found = read_corrections(files, notices)
    yield from (Warned(f"corrections differ on {conflict.in_words()}") for conflict in found.conflicts)
    if not found.by_path:
        raise BadFile(f"{some_of(files)}: no corrections; review some images first, with clipcli review")
    rows = list_images(files, image_column=_PATH, keep=(_PATH,), notices=notices)
    items = {row.cells[_PATH]: row for row in rows}
    known = _learned(found.by_path.values(), tuple(classes), notices)
    if not known:
        labels = some_of([one.label for one in classes])
        raise BadFile(f"{some_of(files)}: no correction has a label of the classes, which are {labels}; review some")
    said = sorted((one.path, classes[index].label if index >= 0 else None) for one, index in known)
    return CorrectedImages(
        items=tuple(replace(items[one.path], cells={}) for one, _ in known),
        truth=np.array([index for _, index in known], np.intp),
        digest=hashlib.sha256(json.dumps(said).encode()).hexdigest(),
    )


def _learned(
    corrections: Iterable[Correction], classes: tuple[LabelledClass, ...], notices: Notices
) -> list[tuple[Correction, int]]:
    """The corrections that something is learned from, each with the index of its class; -1 for none of the classes."""
    given = list(corrections)
    places = {id(labelled): n for n, labelled in enumerate(classes)}
    matches = found_in(dict.fromkeys(label for one in given for label in one.labels), classes)
    known = []
    for one in given:
        indices = [places[id(match)] for label in one.labels if (match := matches[label]) is not None]
        if len(one.labels) > 1:
            notices.add(_SEVERAL, one.path)
        if one.labels and not indices:
            notices.add(_OTHER, one.path, kind=one.labels[0])
        else:
            known.append((one, indices[0] if indices else -1))
    return known
