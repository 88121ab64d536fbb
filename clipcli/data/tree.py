"""Lists the files below a folder or below a folder in a zip, in the same order for both.

Paths are sorted by their parts in code-point order. Hidden files and folders are left out.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from clipcli.data.file_names import is_hidden, is_image_name
from clipcli.data.reference import open_zip
from clipcli.errors import InputNotFound
from clipcli.records import ImageItem, Reference


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree: `parts` of its path below the root, `id` as users see it, and a reference to its bytes."""

    parts: tuple[str, ...]
    id: str
    reference: Reference

    @property
    def is_image(self) -> bool:
        """True if it has the suffix of an image."""
        return is_image_name(self.parts[-1])

    @property
    def item(self) -> ImageItem:
        """The file as an image."""
        return ImageItem(self.id, self.reference)


@dataclass(frozen=True)
class Data:
    """One DATA or INPUT as the user wrote it; its files are listed once, at the first use."""

    text: str

    @property
    def is_one_file(self) -> bool:
        """True if the path names a single file in a zip."""
        split = split_zip(self.text)
        if split is None or not split[1] or len(self.files) != 1:
            return False
        return _parts(str(self.files[0].reference.member)) == split[1]

    @cached_property
    def files(self) -> tuple[TreeFile, ...]:
        """The files below the folder or in the zip; empty for anything else."""
        return tuple(files_below(self.text))

    @cached_property
    def images(self) -> tuple[TreeFile, ...]:
        """The files that have the suffix of an image."""
        return tuple(file for file in self.files if file.is_image)


def files_below(text: str) -> Iterator[TreeFile]:
    """The files of a folder, a zip or a folder in a zip; empty for anything else. Raises `InputNotFound`."""
    if os.path.isdir(text):
        return _scan(text, ())
    return iter(()) if split_zip(text) is None else zip_files(text)


def top_folders(text: str) -> list[str]:
    """The names of the folders directly in a folder, a zip or a folder in a zip, sorted; also of empty ones."""
    if os.path.isdir(text):
        with os.scandir(text) as scan:
            names = {entry.name for entry in scan if entry.is_dir(follow_symlinks=False)}
    else:
        path, inside = split_zip(text) or (text, ())
        depth = len(inside)
        entries = [(_parts(entry.filename), entry.is_dir()) for entry in open_zip(path).infolist()]
        names = {
            parts[depth]
            for parts, is_folder in entries
            if parts[:depth] == inside and len(parts) > depth + (0 if is_folder else 1)
        }
    return sorted(name for name in names if not is_hidden(name))


def zip_files(text: str) -> Iterator[TreeFile]:
    """The files of a zip, of a folder in it, or the single file named. Raises `InputNotFound` for a bad zip."""
    split = split_zip(text)
    if split is None:
        raise InputNotFound(f"no zip file in {text}; check the path")
    path, inside = split
    try:
        archive = open_zip(path)
    except (OSError, zipfile.BadZipFile) as e:
        raise InputNotFound(f"cannot read {path}: {e}; check the file") from None
    entries = [(_parts(entry.filename), entry) for entry in archive.infolist() if not entry.is_dir()]
    depth = len(inside)
    for parts, entry in sorted(entries, key=lambda pair: pair[0]):
        if parts and parts[:depth] == inside and not any(map(is_hidden, parts)):
            where = Reference("zip", path, entry.filename)
            yield TreeFile(parts[depth:] or parts[-1:], f"{path}/{entry.filename}", where)


def split_zip(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Split a path such as `data.zip/val` into the zip file and the parts below it; `None` if it has no zip file."""
    parts = text.split("/")
    for n in range(len(parts), 0, -1):
        path = "/".join(parts[:n])
        if path.lower().endswith(".zip") and os.path.isfile(path):
            return path, _parts("/".join(parts[n:]))
    return None


def _scan(folder: str, above: tuple[str, ...]) -> Iterator[TreeFile]:
    """The files below a folder, listed lazily; links to folders are not followed."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=attrgetter("name"))
    except OSError as e:
        raise InputNotFound(f"cannot read folder {folder}: {e.strerror}; check its permissions") from None
    start = os.path.join(folder, "")
    for entry in entries:
        name = entry.name
        if is_hidden(name):
            continue
        path, parts = start + name, (*above, name)
        if not entry.is_dir():
            yield TreeFile(parts, path, Reference("file", path))
        elif not entry.is_symlink():
            yield from _scan(path, parts)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in ("", "."))
