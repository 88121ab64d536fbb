"""A folder of images, with the folders inside it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.errors import InputNotFound
from clipcli.sources.files import item
from clipcli.sources.suffixes import is_hidden, is_image_name
from clipcli.types import ImageItem


def matches(text: str) -> bool:
    """Whether this is a folder."""
    return os.path.isdir(text)


def items(text: str) -> Iterator[ImageItem]:
    """The images below the folder, sorted by name at each level; hidden ones and linked folders are left out."""
    try:
        with os.scandir(text) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as e:
        raise InputNotFound(f"cannot read folder {text}: {e.strerror}; check its permissions") from None
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from items(os.path.join(text, entry.name))
        elif is_image_name(entry.name) and not entry.is_dir():
            yield item(os.path.join(text, entry.name))
