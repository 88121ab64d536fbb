"""One image file."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.records import ImageItem, Reference


def matches(text: str) -> bool:
    """Whether this is a file."""
    return os.path.isfile(text)


def items(text: str) -> Iterator[ImageItem]:
    """The file itself, whatever its suffix: it was asked for by name."""
    yield item(text)


def item(path: str) -> ImageItem:
    """A file as an image, named as the path is written; whether it is there shows when it is read."""
    return ImageItem(path, Reference("file", path))
