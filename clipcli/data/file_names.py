"""Tells images and hidden files by their names, and splits off suffixes."""

from __future__ import annotations

import os

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif", ".jp2", ".tga", ".ppm", ".pgm", ".pbm"),
    )
)


def suffix_of(name: str) -> str:
    """The suffix in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()


def without_suffix(path: str) -> str:
    """The path without its suffix."""
    return os.path.splitext(path)[0]


def is_image_name(name: str) -> bool:
    """True if a file of this name counts as an image when a folder is read."""
    # Not os.path.splitext, which takes three times as long: a folder may hold a million names.
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """True if a file or folder of this name is left out: dotfiles, and `__MACOSX` in zips from a Mac."""
    return (name.startswith(".") and name != ".") or name == "__MACOSX"
