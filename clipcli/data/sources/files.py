"""One image file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial

from clipcli.records import ImageItem


def matches(text: str) -> bool:
    """Whether this is a file."""
    return os.path.isfile(text)


def items(text: str) -> Iterator[ImageItem]:
    """The file itself, whatever its suffix: it was asked for by name."""
    yield item(text)


def item(path: str) -> ImageItem:
    """A file as an image, named as the path is written; whether it is there shows when it is read."""
    return ImageItem(id=path, read=partial(_read, path), file=path)


def _read(path: str) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):
        # Reading a pipe could wait for ever.
        raise OSError(f"not a file: {path}")
    with open(path, "rb") as file:
        return file.read()
