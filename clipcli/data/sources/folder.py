"""A folder of images, with the folders inside it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.sources.tree import folder_files
from clipcli.records import ImageItem


def matches(text: str) -> bool:
    """Whether this is a folder."""
    return os.path.isdir(text)


def items(text: str) -> Iterator[ImageItem]:
    """The images below the folder, sorted by name at each level; hidden ones and linked folders are left out."""
    return (file.item for file in folder_files(text) if file.is_image)
