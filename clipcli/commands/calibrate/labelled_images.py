"""The images to calibrate with: those of DATA whose label is one of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.calibrate.settings import CalibrateSettings
from clipcli.data.class_names import by_number, found_in
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.labelled import (
    Labelled,
    LabelledData,
    labelled_of,
    names_of,
    read_labelled,
    warnings_of_several_names,
)
from clipcli.data.several import WithLabels, read_several
from clipcli.data.tree import Data
from clipcli.errors import BadFile, UsageError, some_of
from clipcli.notices import Notice, Notices
from clipcli.records import ImageItem, Skipped
from clipcli.scoring.calibration import LEAST_IMAGES
from clipcli.scoring.classifier import Classifier

# More labelled images change a calibration little, and take time.
MOST_IMAGES = 2_000
_OTHER = Notice(
    "image has a label that is none of the classes",
    "images have labels that are none of the classes",
    "left out",
)
_OTHER_LABEL = Notice(
    "label of an image is none of the classes",
    "labels of images are none of the classes",
    "left out",
)
_DRAWN = Notice(
    "labelled image is not needed",
    "labelled images are not needed",
    f"left out; {MOST_IMAGES:,} are enough, and they were drawn at random",
    warns=False,
)


One = TypeVar("One", Labelled, WithLabels)


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images with the index of the class `[N]` of each, and those of DATA that were skipped for want of a label.

    With several labels, `truth` `[N, C]` says which of the classes each has.
    """

    items: tuple[ImageItem, ...]
    truth: NDArray[Any]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]


def read_images(options: CalibrateSettings, source: Classifier | PromptedClasses, notices: Notices) -> LabelledImages:
    """Read the images of DATA; `notices` counts those that are left out.

    Raises `BadFile` if no label is one of the classes, `UsageError` if there are too few images or classes, and as
    `read_labelled`.
    """
    classes = _classes_of(source)
    if len(classes) < 2:
        raise UsageError(f"one label only, '{classes[0].label}'; expected at least two to choose from")
    data = read_labelled(*_data_of(options, notices))
    indices = _class_indices(data, classes)
    known: list[Labelled] = []
    for labelled in labelled_of(data):
        if indices[labelled.name] is None:
            notices.add(_OTHER, labelled.item.id, kind=labelled.name)
        else:
            known.append(labelled)
    check_count(len(known), where=data.text)
    known = _some(known, notices)
    return LabelledImages(
        items=tuple(labelled.item for labelled in known),
        truth=np.array([indices[labelled.name] for labelled in known], dtype=np.intp),
        skipped=tuple(entry for entry in data.entries if isinstance(entry, Skipped)),
        warnings=tuple(warnings_of_several_names(data)),
    )


def read_images_of_several(
    options: CalibrateSettings, source: Classifier | PromptedClasses, notices: Notices
) -> LabelledImages:
    """As `read_images`, of a table in which an image may have several labels, or none; its other labels are left out.

    Raises as `read_images`, but takes one class as well.
    """
    classes = _classes_of(source)
    data = read_several(*_data_of(options, notices))
    indices = _class_indices(data.each_label(), classes)
    check_count(len(data.images), where=data.text)
    known = _some(data.images, notices)
    truth = np.zeros((len(known), len(classes)), np.bool_)
    for row, image in zip(truth, known, strict=True):
        for name in image.names:
            index = indices[name]
            if index is None:
                notices.add(_OTHER_LABEL, f"{name} of {image.item.id}", kind=name)
            else:
                row[index] = True
    skipped = tuple(entry for entry in data.entries if isinstance(entry, Skipped))
    return LabelledImages(tuple(image.item for image in known), truth, skipped, warnings=())


def read_unknown(options: CalibrateSettings, notices: Notices) -> tuple[ImageItem, ...]:
    """List the images of no class. Raises `UsageError` with several labels, and as `list_images`."""
    if options.unknown_folder is None:
        return ()
    if options.multi_label:
        raise UsageError("--unknown-folder is for one label an image; with --multi-label an image may have no label")
    return tuple(list_images([options.unknown_folder], notices=notices, exclude=options.exclude))


def _classes_of(source: Classifier | PromptedClasses) -> tuple[LabelledClass, ...]:
    return tuple(map(LabelledClass, source.labels)) if isinstance(source, Classifier) else source.classes


def _data_of(options: CalibrateSettings, notices: Notices) -> tuple[Data, Columns]:
    """DATA, and the columns to look for in it."""
    return Data(options.data, notices, options.exclude), Columns(options.image_column, options.label_column)


def check_count(count: int, *, where: str, unread: Sequence[Skipped] = ()) -> None:
    """Raise `UsageError` if there are too few labelled images to calibrate with; others are `unread`."""
    if count >= LEAST_IMAGES:
        return
    found = f"{count} labelled image{'' if count == 1 else 's'} of these classes"
    some = f", and {len(unread)} that cannot be read, such as {unread[0].item.id}: {unread[0].reason}" if unread else ""
    raise UsageError(f"{where}: {found}{some}; calibration needs {LEAST_IMAGES} or more, so label more images")


def _class_indices(data: LabelledData, classes: tuple[LabelledClass, ...]) -> dict[str, int | None]:
    """The index of the class for each name in the data, `None` for a name of no class. Raises `BadFile` if all are."""
    names, labels = names_of(data.entries), [labelled.label for labelled in classes]
    if data.noun != "folder" and all(name.isdecimal() for name in names) and not set(names) & set(labels):
        return {**by_number(names, classes, where=data.text)}
    order = {id(labelled): n for n, labelled in enumerate(classes)}
    found = found_in(names, classes)
    if not any(found.values()):
        raise BadFile(
            f"{data.text}: none of its labels is one of the classes: it has {some_of(names)}, and the classes are"
            f" {some_of(labels)}; give images of these classes"
        )
    return {name: None if labelled is None else order[id(labelled)] for name, labelled in found.items()}


def _some(known: Sequence[One], notices: Notices) -> list[One]:
    """The images, or so many of them as are enough, drawn at random; `notices` counts the others."""
    if len(known) <= MOST_IMAGES:
        return list(known)
    drawn = set(np.random.default_rng(0).permutation(len(known))[:MOST_IMAGES].tolist())
    for n, labelled in enumerate(known):
        if n not in drawn:
            notices.add(_DRAWN, labelled.item.id)
    return [one for n, one in enumerate(known) if n in drawn]
