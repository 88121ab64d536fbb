"""The files that belong to an image and go along: sidecars, the other half of RAW+JPEG, and the video of a Live Photo.

Which they are is told by their names, as cameras and programs give them: `IMG_1.jpg.xmp` (darktable, digiKam),
`IMG_1_01.jpg.xmp` (darktable's duplicates), `IMG_1.xmp` (Lightroom), `IMG_1.aae` (Apple), `IMG_1.jpg.json` and
`IMG_1.jpg.supplemental-metadata.json`, cut to 46 characters, and `IMG_1.jpg(1).json` for `IMG_1(1).jpg` (Google
Takeout), `IMG_1.txt` (captions).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache

from clipcli.data.file_names import is_image_name, kind_of_file, suffix_of, without_suffix

_PAIRED = frozenset((".mov", ".mp4", ".mp", ".wav", ".txt", ".caption"))
_NO_SIDECARS = frozenset((".ini", ".db"))
# Takeout's number of a copy, behind the name and what it adds to it.
_NUMBERED = re.compile(r"(.+)(\.\w{2,5})(\.[a-z-]+)?(\(\d+\))\.json", re.IGNORECASE)
_DUPLICATE = re.compile(r"(.+)_\d\d(\.\w{2,5})\.xmp", re.IGNORECASE)
_METADATA, _LONGEST = ".supplemental-metadata", 46


class Companions:
    """Finds the files that belong to images; each folder is listed once."""

    def __init__(self) -> None:
        self._folder = cache(_listed)

    def of(self, path: str) -> list[str]:
        """The paths of the files that belong to an image, sorted."""
        folder, name = os.path.split(path)
        listed, stem = self._folder(folder), without_suffix(name)
        found = {other for other in listed.get(name.lower(), ()) if _is_sidecar(other)}
        found |= {other for other in listed.get(stem.lower(), ()) if _is_half(other[len(stem) :], of=name)}
        found |= set(listed.get(f"{name}{_METADATA}"[:_LONGEST].lower(), ())) if len(name) >= _LONGEST else set()
        return [os.path.join(folder, other) for other in sorted(found - {name})]


def renamed(name: str, *, image: str, to: str) -> str:
    """The name of a file that belongs to an image, when the image's name changes."""
    for old, new in ((image, to), (without_suffix(image), without_suffix(to))):
        if name.lower().startswith(old.lower()):
            return new + name[len(old) :]
    return f"{to}{suffix_of(name)}"


def _listed(folder: str) -> dict[str, list[str]]:
    """The files of a folder by the names, in lower case, of the images that they may belong to, or of their stems."""
    listed: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    except OSError:
        return listed
    for name in names:
        for key in _keys(name, names):
            listed.setdefault(key.lower(), []).append(name)
    return listed


def _keys(name: str, names: set[str]) -> Iterator[str]:
    if match := _NUMBERED.fullmatch(name):
        yield f"{match[1]}{match[4]}{match[2]}"
        return
    if (match := _DUPLICATE.fullmatch(name)) and without_suffix(name) not in names:
        yield f"{match[1]}{match[2]}"
    before = name
    while "." in before[1:]:
        before = before[: before.rindex(".")]
        yield before


def _is_sidecar(name: str) -> bool:
    return kind_of_file(name) == "sidecar" and suffix_of(name) not in _NO_SIDECARS


def _is_half(suffix: str, *, of: str) -> bool:
    """True for the suffix of what has the stem of an image: a sidecar, a RAW, a video, or the image of a RAW."""
    if suffix.count(".") != 1 or not suffix.startswith("."):
        return False
    name = f"x{suffix}"
    is_raw = kind_of_file(of) == "RAW"
    return (
        _is_sidecar(name)
        or suffix.lower() in _PAIRED
        or (is_image_name(name) if is_raw else kind_of_file(name) == "RAW")
    )
