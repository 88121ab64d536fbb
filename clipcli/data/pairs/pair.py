"""What training learns from: an image with its captions, and what was asked for and found while reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from clipcli.classes.labels import LabelledClass
from clipcli.data.reference import nothing
from clipcli.data.sources.tree import TreeFile, files_below
from clipcli.records import ImageItem, Skipped

_FEW = 7


@dataclass(frozen=True, slots=True)
class Pair:
    """An image with the captions that go with it, one of which is drawn each time the image is seen.

    There is at least one caption. `label` is the class in a tree with a folder per class: the folder's name, or the
    label that fits it.
    """

    item: ImageItem
    captions: tuple[str, ...]
    label: str | None = None


@dataclass(frozen=True, slots=True)
class PairOptions:
    """How to read: templates and classes are for folders per class, the columns are for tables.

    Each template holds one `{}`. Without `classes` the folders' own names are used; a column that is `None` is guessed.
    """

    templates: tuple[str, ...]
    classes: tuple[LabelledClass, ...] | None = None
    image_column: str | None = None
    caption_column: str | None = None


@dataclass(frozen=True, slots=True)
class PairsRead:
    """The pairs in a fixed order, and what gave none, each with its reason."""

    pairs: list[Pair]
    skipped: list[Skipped]


@dataclass(frozen=True)
class Data:
    """One DATA as it was written; what lies below it is listed once, when it is first asked for."""

    text: str

    @cached_property
    def files(self) -> tuple[TreeFile, ...]:
        """The files below the folder or inside the zip; none where it is something else."""
        return tuple(files_below(self.text))

    @cached_property
    def images(self) -> tuple[TreeFile, ...]:
        """Those of the files that are images by their names."""
        return tuple(file for file in self.files if file.is_image)


def some_of(names: Sequence[str]) -> str:
    """The first few names in quotes, and how many more there are: for messages."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{', '.join(map(repr, names[:_FEW]))}{more}"


def skipped_place(where: str, reason: str) -> Skipped:
    """Something that names no image, such as a line of a table, as skipped."""
    return Skipped(ImageItem(where, nothing(reason)), reason)
