"""Samples: one image of DATA with all that is known of it without reading more than is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from clipcli.data.columns import IMAGE, Column
from clipcli.data.reference import nothing
from clipcli.data.suffixes import without_suffix
from clipcli.records import ImageItem, Reference, Skipped


@dataclass(frozen=True, slots=True)
class Sample:
    """One image.

    `place` is its path within DATA, and `folder` the name of the folder that may be its class. `texts` are the text
    files that belong to it, by their suffixes. `cells` are those of its row that were asked for, by what they hold, as
    in `caption`. `aside` says that it is not the main image of its key in a shard, but a mask of it or the like.
    """

    item: ImageItem
    place: str
    folder: str | None = None
    texts: Mapping[str, Reference] = field(default_factory=dict)
    cells: Mapping[str, object] = field(default_factory=dict)
    aside: bool = False

    @property
    def key(self) -> str:
        """Its place without the suffix, by which images of several DATA are told to be the same."""
        return without_suffix(self.place)


@dataclass(frozen=True, slots=True)
class Reading:
    """How data is read.

    Tables must have the column `image`, and where `told` is given that one too; the cells of the columns named in
    `keep` go along with the images as text. With `look_up` paths in a table are looked for beside it and then in the
    working folder; otherwise they are beside it, whatever is there. `stdin` is what `-` reads.
    """

    image: Column = IMAGE
    told: Column | None = None
    keep: tuple[str, ...] = ()
    look_up: bool = True
    stdin: TextIO | None = None

    @property
    def images_only(self) -> bool:
        """True where nobody asks for labels or captions: texts and folders need not be known."""
        return self.told is None


def image_file(path: str) -> ImageItem:
    """A file as an image, named as the path is written; whether it is there shows when it is read."""
    return ImageItem(path, Reference("file", path))


def skipped_place(where: str, reason: str, *, cells: Mapping[str, str | None] | None = None) -> Skipped:
    """Something that names no image, such as a line of a table, as skipped."""
    return Skipped(ImageItem(where, nothing(reason), cells or {}), reason)
