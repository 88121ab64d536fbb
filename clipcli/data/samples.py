"""The `Sample`, one image of DATA with its texts and cells, and the options for reading it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from clipcli.data.columns import IMAGE, Column
from clipcli.data.file_names import without_suffix
from clipcli.data.reference import no_image
from clipcli.records import ImageItem, Reference, Skipped


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of DATA.

    `path` is its path within DATA, and `folder` the name of the folder that may be its class. `texts` are the text
    files that belong to it, by suffix. `cells` has the cell of the target column, under `label` or `caption`.
    `auxiliary` marks an image of a shard's key that is not the main one, such as a mask.
    """

    item: ImageItem
    path: str
    folder: str | None = None
    texts: Mapping[str, Reference] = field(default_factory=dict)
    cells: Mapping[str, object] = field(default_factory=dict)
    auxiliary: bool = False

    @property
    def key(self) -> str:
        """The path without suffix: images of several DATA with the same key are taken for the same image."""
        return without_suffix(self.path)


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading samples.

    `image` is the column of images in tables, and `target` the column of labels or captions; `None` reads images alone.
    The cells of the columns named in `keep` are copied to the items, as text. `stdin` is the stream that `-` reads.
    With `null`, paths in lists stand between NUL characters.
    """

    image: Column = IMAGE
    target: Column | None = None
    keep: tuple[str, ...] = ()
    stdin: TextIO | None = None
    null: bool = False

    @property
    def images_only(self) -> bool:
        """True if neither labels nor captions are read, so that texts need not be looked for."""
        return self.target is None


def image_file(path: str) -> ImageItem:
    """The image file at this path, with the path as its id; the disk is not checked."""
    return ImageItem(path, Reference("file", path))


def place_of(item: ImageItem) -> str:
    """The place of an image's file: the same for `a.jpg`, `./a.jpg` and other spellings of one path."""
    path = item.reference.path if item.reference.kind == "file" else None
    return os.path.normpath(path or item.id)


def skipped_entry(where: str, reason: str, *, cells: Mapping[str, str | None] | None = None) -> Skipped:
    """A skipped entry for something without an image, such as a row of a table."""
    return Skipped(ImageItem(where, no_image(reason), cells or {}), reason)
