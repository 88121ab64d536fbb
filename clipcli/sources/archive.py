"""A `.zip` of images, or a folder inside one (`data.zip/val`), read in place."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from clipcli.errors import InputNotFound
from clipcli.sources.suffixes import is_hidden, is_image_name
from clipcli.types import ImageItem


def is_archive(path: str) -> bool:
    """Whether this file is a zip by name."""
    return path.lower().endswith(".zip") and os.path.isfile(path)


def matches(text: str) -> bool:
    """Whether some leading part of the path is a zip file."""
    return _split(text) is not None


def items(text: str) -> Iterator[ImageItem]:
    """The images in the archive below the folder named, sorted by the parts of their paths."""
    split = _split(text)
    if split is None:
        raise InputNotFound(f"no zip file in {text}; check the path")
    path, inside = split
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as e:
        raise InputNotFound(f"cannot read {path}: {e}; check the file") from None
    entries = [entry for entry in archive.infolist() if _wanted(entry.filename, inside)]
    for entry in sorted(entries, key=lambda entry: PurePosixPath(entry.filename).parts):
        # ZipFile serialises its reads by itself, so the decode threads may share one.
        yield ImageItem(id=f"{path}/{entry.filename}", read=partial(archive.read, entry))


def _split(text: str) -> tuple[str, str] | None:
    """The zip file and the folder inside it, with a slash at its end or empty for all of it."""
    parts = text.split("/")
    for n in range(len(parts), 0, -1):
        path = "/".join(parts[:n])
        if is_archive(path):
            inside = "/".join(part for part in parts[n:] if part)
            return path, f"{inside}/" if inside else ""
    return None


def _wanted(name: str, inside: str) -> bool:
    hidden = any(is_hidden(part) for part in name.split("/"))
    # `data.zip/val/1.jpg` names one image, `data.zip/val` a folder.
    below = name.startswith(inside) or name == inside.rstrip("/")
    return below and not hidden and is_image_name(name)
