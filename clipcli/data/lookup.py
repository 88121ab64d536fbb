"""Finds the file that a path means, also where the path is spelt otherwise or is only an id."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from clipcli.classes.normal_form import composed
from clipcli.data.file_names import is_image_name, without_suffix
from clipcli.files.names import original
from clipcli.notices import Notice, Notices

BACKSLASHES = Notice(
    "path has backslashes and is no file",
    "paths have backslashes and are no files",
    "the file with / in their place was taken",
    warns=False,
)
SPACES = Notice(
    "path has spaces around it and is no file",
    "paths have spaces around them and are no files",
    "the file without them was taken",
    warns=False,
)
OTHER_FORM = Notice(
    "path is written with other bytes for the same letters than its file",
    "paths are written with other bytes for the same letters than their files",
    "the file was taken; Unicode writes letters with accents in two ways",
    warns=False,
)
IN_FOLDER = Notice(
    "image does not lie where its table says",
    "images do not lie where their table says",
    "taken from a folder beside it",
    warns=False,
)
BY_ID = Notice(
    "image has an id in place of a path",
    "images have an id in place of a path",
    "the file of that name was taken",
    warns=False,
)
# Python converts text to numbers of no more than 4,300 digits.
_DIGITS = 100
# Folders in which images lie beside their tables, as public data sets have them.
_USUAL_FOLDERS = (
    *("images", "Images", "image", "train", "train_images"),
    *("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images"),
)


@dataclass(frozen=True, slots=True)
class Files:
    """The files and folders that paths are looked up in; each folder is listed once, at the first need.

    `exists` tells whether a path is there. `by_form` has the names in a folder by their composed form, and `by_stem`
    its images by name without suffix, and by number where the name is one; `None` where several fit.
    """

    exists: Callable[[str], bool]
    by_form: Callable[[str], Mapping[str, str]]
    by_stem: Callable[[str], Mapping[str | int, str | None]]


def files_on_disk() -> Files:
    """The files on the disk."""
    return _files(os.path.exists, _names_on_disk)


def files_among(paths: Iterable[str]) -> Files:
    """The files with these paths, as in a zip, and the folders that they lie in."""
    folders: dict[str, dict[str, None]] = {}
    for path in paths:
        while path:
            folder, name = os.path.split(path)
            if name in folders.setdefault(folder, {}):
                break
            folders[folder][name] = None
            path = folder

    def names(folder: str) -> Mapping[str, None]:
        return folders.get(os.path.normpath(folder) if folder not in ("", ".") else "", {})

    def exists(path: str) -> bool:
        folder, name = os.path.split(os.path.normpath(path))
        return name in names(folder)

    return _files(exists, names)


def spelt(path: str, files: Files, notices: Notices) -> str | None:
    """The file at this path, also if it is written with backslashes, with spaces around it, or in another Unicode form.

    Bytes that are not UTF-8 may be written as `clipcli.files.names` has them. `None` if there is none.
    A path that is not taken as written is counted.
    """
    for name in (path, original(path)):
        if files.exists(name):
            return name
    slashed = path.replace("\\", "/")
    stripped = "/".join(map(str.strip, slashed.split("/")))
    for notice, other in ((BACKSLASHES, slashed), (SPACES, stripped)):
        if other != path and files.exists(other):
            notices.add(notice, path)
            return other
    found = None if slashed.isascii() else _part_by_part(slashed, files)
    if found is not None:
        notices.add(OTHER_FORM, path)
    return found


@dataclass(frozen=True)
class Around:
    """The folder of a table and the usual folders of images beside it, for paths that are not there as written."""

    table: str
    files: Files
    notices: Notices

    @cached_property
    def folders(self) -> list[str]:
        """The usual folders that are there, beside the table and beside its folder."""
        folder, name = os.path.split(self.table)
        stem = without_suffix(name)
        # train.csv may be about train/ or train_images/, and captions_val2017.json about val2017/.
        names = (stem, f"{stem}_images", stem.rpartition("_")[2], *_USUAL_FOLDERS)
        near = [os.path.join(folder, name) for name in names]
        near += [os.path.normpath(os.path.join(folder, "..", name)) for name in names]
        return [path for path in dict.fromkeys(near) if self.files.exists(path)]

    def find(self, path: str) -> str | None:
        """The image with this path in a usual folder, or the only one whose name without suffix is the path, an id.

        Zeros before a number do not count, unless a name has just as many. `None` if there is none. What is found is
        counted.
        """
        for folder in self.folders:
            found = spelt(os.path.join(folder, path), self.files, self.notices)
            if found is not None:
                self.notices.add(IN_FOLDER, f"{path}, which is {found}")
                return found
        return None if is_image_name(path) else self._of_id(path)

    def _of_id(self, path: str) -> str | None:
        above, stem = os.path.split(path)
        number = int(stem) if stem.isdecimal() and len(stem) < _DIGITS else None
        for place in (os.path.dirname(self.table), *self.folders):
            folder = os.path.join(place, above) if above else place
            stems = self.files.by_stem(folder)
            name = stems.get(composed(stem)) or (None if number is None else stems.get(number))
            if name is not None:
                found = os.path.join(folder, name)
                self.notices.add(BY_ID, f"{path}, which is {found}")
                return found
        return None


def _files(exists: Callable[[str], bool], names: Callable[[str], Iterable[str]]) -> Files:
    return Files(
        exists,
        cache(lambda folder: {composed(name): name for name in names(folder)}),
        cache(lambda folder: _by_stem(names(folder))),
    )


def _names_on_disk(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or "."))
    except OSError:
        return []


def _by_stem(names: Iterable[str]) -> Mapping[str | int, str | None]:
    found: dict[str | int, str | None] = {}
    for name in filter(is_image_name, names):
        stem = composed(without_suffix(name))
        keys = (stem, int(stem)) if stem.isdecimal() else (stem,)
        for key in keys:
            found[key] = None if key in found else name
    return found


def _part_by_part(path: str, files: Files) -> str | None:
    """The path with each part as the folder above it spells it; `None` if one is not there."""
    found = "/" if path.startswith("/") else ""
    for part in filter(None, path.split("/")):
        place = os.path.join(found, part)
        if part in (".", "..") or files.exists(place):
            found = place
            continue
        name = files.by_form(found).get(composed(part))
        if name is None:
            return None
        found = os.path.join(found, name)
    return found
