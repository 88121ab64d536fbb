"""Which XMP sidecar a photo has: `IMG_1.jpg.xmp` as digiKam and darktable name it, or `IMG_1.xmp` as Lightroom does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache

from clipcli.data.file_names import is_image_name, kind_of_file, without_suffix
from clipcli.notices import Notice, Notices

_SUFFIXES = (".xmp", ".XMP")
_OF_ANOTHER = Notice(
    "photo shares its name with another photo that has a sidecar",
    "photos share their name with another photo that has a sidecar",
    "IMG_1.xmp is taken to be the other's, and IMG_1.jpg.xmp is written",
    warns=False,
)


class Sidecars:
    """Finds the sidecars of photos; each folder is listed once."""

    def __init__(self, naming: str, notices: Notices) -> None:
        self._naming, self._notices = naming, notices
        self._names = cache(_names_by_stem)

    def of(self, photo: str) -> str:
        """The path of the sidecar that a photo has or gets.

        Where both ways to name it are taken it is `IMG_1.jpg.xmp`, which is of no other photo. `IMG_1.xmp` is not taken
        to be a photo's where there is another of that name, as of RAW and JPEG: Lightroom means the RAW.
        """
        full, stem = _there(photo), _there(without_suffix(photo))
        if self._naming == "stem":
            return stem or f"{without_suffix(photo)}{_SUFFIXES[0]}"
        if self._naming == "auto" and stem is not None and full is None:
            if self._is_alone(photo):
                return stem
            self._notices.add(_OF_ANOTHER, photo)
        return full or f"{photo}{_SUFFIXES[0]}"

    def all_of(self, photo: str) -> Iterator[str]:
        """The paths of the sidecars that are there, by the ways to name them that are asked for."""
        names = {"full": (photo,), "stem": (without_suffix(photo),)}.get(self._naming, (photo, without_suffix(photo)))
        yield from filter(None, map(_there, names))

    def _is_alone(self, photo: str) -> bool:
        folder, name = os.path.split(photo)
        return kind_of_file(name) == "RAW" or self._names(folder)[without_suffix(name)] == 1


def _there(name: str) -> str | None:
    return next((name + suffix for suffix in _SUFFIXES if os.path.isfile(name + suffix)), None)


def _names_by_stem(folder: str) -> Mapping[str, int]:
    """How many photos of a folder have each name without suffix."""
    found: dict[str, int] = {}
    for name in os.listdir(folder or "."):
        if is_image_name(name) or kind_of_file(name) == "RAW":
            found[without_suffix(name)] = found.get(without_suffix(name), 0) + 1
    return found
