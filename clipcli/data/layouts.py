"""Recognises data sets that are laid out for other tasks than ours, and says what of them can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from clipcli.classes.labels import IMAGENET_ID
from clipcli.data.tree import Data
from clipcli.errors import BadFile, some_of


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout: folders of its `images`, and beside them a folder `beside` that has none, in any case.

    `found` says what it is, and `todo` what can be read in its place.
    """

    images: re.Pattern[str]
    beside: str
    found: str
    todo: str


LAYOUTS = (
    Layout(
        re.compile("jpegimages"),
        "annotations",
        "boxes of objects in Pascal VOC's form",
        "clipcli reads labels of whole images: give a table with the columns image and label",
    ),
    Layout(
        re.compile(r"(train|val|test)\d*|images"),
        "annotations",
        "COCO's folders",
        "give the captions of a part, as in {data}/annotations/captions_val2017.json, or a table of images and labels",
    ),
    Layout(
        re.compile("images"),
        "labels",
        "boxes of objects in YOLO's form",
        "clipcli reads labels of whole images: give a table with the columns image and label",
    ),
)


def check_folders(data: Data, folders: Iterable[str]) -> None:
    """Raise `BadFile` if the `folders` that hold a tree's images are not its classes but parts of a known layout."""
    held = {folder.casefold() for folder in folders}
    without = {folder.casefold() for folder in data.folders} - held
    for layout in LAYOUTS:
        if held and layout.beside in without and all(map(layout.images.fullmatch, held)):
            raise BadFile(f"{data.text}: {layout.found}, and no folder per class; {layout.todo.format(data=data.text)}")


def check_names(names: Iterable[str], *, where: str) -> None:
    """Raise `BadFile` if the names of all classes are ids of ImageNet, which no model has learnt to read."""
    ids = list(names)
    if ids and all(map(IMAGENET_ID.fullmatch, ids)):
        raise BadFile(
            f"{where}: its classes are ids of ImageNet, such as {some_of(ids[:2])}, and expected are names; give"
            " --labels FILE, a .csv with the columns label and aliases, with each id among the aliases of its class"
        )
