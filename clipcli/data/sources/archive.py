"""A `.zip` of images, or a folder inside one (`data.zip/val`), read in place."""

from __future__ import annotations

from collections.abc import Iterator

from clipcli.data.sources.tree import archive_files, split_archive
from clipcli.records import ImageItem


def matches(text: str) -> bool:
    """Whether some leading part of the path is a zip file."""
    return split_archive(text) is not None


def items(text: str) -> Iterator[ImageItem]:
    """The images in the archive below the folder named, sorted by the parts of their paths."""
    return (file.item for file in archive_files(text) if file.is_image)
