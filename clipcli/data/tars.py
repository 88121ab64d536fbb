"""Uncompressed `.tar` files as WebDataset writes them: an image and its texts follow each other under one key.

The key of a member is its path up to the first dot of its name, as in webdataset; members that are no image, caption
or `.cls` are left alone. A shard is gone through once, for its headers; images and texts are then read where they lie.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from clipcli.data.captions import caption_suffix
from clipcli.data.suffixes import is_hidden, is_image_name
from clipcli.records import Reference, Span

LABEL_SUFFIX = ".cls"


@dataclass(slots=True)
class Keyed:
    """One key: its images by their names in the order of the shard, and its texts by their suffixes."""

    key: str
    images: dict[str, Reference] = field(default_factory=dict)
    texts: dict[str, Reference] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The image with the shortest suffix: a key may have a `mask.png` besides its `jpg`."""
        return min(self.images, key=lambda name: os.path.basename(name).count("."))


@dataclass(frozen=True, slots=True)
class Shard:
    """The whole members of a shard in the order of their keys, and its damage, if there is some."""

    keyed: tuple[Keyed, ...]
    damage: str | None


def read_shard(path: str) -> Shard:
    """The members of a shard by their keys. Nothing is raised: a shard that cannot be read is empty, and damaged."""
    collected: dict[str, Keyed] = {}
    try:
        with open(path, "rb") as file:
            damage = _collect(file, path, collected)
    except OSError as e:
        damage = f"cannot read it: {e.strerror or e}"
    return Shard(tuple(collected.values()), damage)


def images_in(path: str) -> Mapping[str, Reference]:
    """References to all images of a shard, by their names in it."""
    return {name: where for keyed in read_shard(path).keyed for name, where in keyed.images.items()}


def split_tar(text: str) -> tuple[str, str] | None:
    """The `.tar` file that the path leads through, and the name of a member of it; `None` without one."""
    parts = text.split("/")
    for n in range(len(parts) - 1, 0, -1):
        path = "/".join(parts[:n])
        if path.lower().endswith(".tar") and os.path.isfile(path):
            return path, "/".join(parts[n:])
    return None


def _collect(file: BinaryIO, path: str, found: dict[str, Keyed]) -> str | None:
    """Sort the whole members by their keys, and say how the shard is damaged where it is."""
    offset = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for name, span in _members(archive, end=os.fstat(file.fileno()).st_size):
                _add(name, Reference("span", path, span), found)
            offset = archive.offset
    except tarfile.TarError as e:
        return f"cut off or damaged: {e}"
    # tarfile takes whatever it does not understand for the end; the real end is marked with zeros.
    file.seek(offset)
    mark = file.read(tarfile.BLOCKSIZE)
    return None if mark == bytes(tarfile.BLOCKSIZE) else f"cut off or damaged at byte {offset}"


def _members(archive: tarfile.TarFile, *, end: int) -> Iterator[tuple[str, Span]]:
    """The names of the files that are there as a whole, and where their bytes lie."""
    for info in archive:
        if info.isreg() and info.offset_data + info.size <= end:
            yield info.name.removeprefix("./"), Span(info.offset_data, info.size)


def _add(name: str, where: Reference, found: dict[str, Keyed]) -> None:
    parts = name.split("/")
    if any(map(is_hidden, parts)):
        return
    key = "/".join((*parts[:-1], parts[-1].partition(".")[0]))
    keyed = found.setdefault(key, Keyed(key))
    suffix = LABEL_SUFFIX if parts[-1].lower().endswith(LABEL_SUFFIX) else caption_suffix(parts[-1])
    if suffix is not None:
        keyed.texts.setdefault(suffix, where)
    elif is_image_name(parts[-1]):
        keyed.images[name] = where
