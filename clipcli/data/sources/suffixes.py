"""Which files of a folder or archive are images, and which names are hidden."""

from __future__ import annotations

import os

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif", ".jp2", ".tga", ".ppm", ".pgm", ".pbm"),
    )
)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image when a whole folder is read."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out."""
    return (name.startswith(".") and name != ".") or name == "__MACOSX"
