"""Indexes WebDataset shards: uncompressed `.tar` files whose members are grouped by key.

The key of a member is its path up to the first dot of its file name, as in webdataset: `7.jpg`, `7.mask.png` and
`7.txt` are one sample. But where a text has the whole name of an image, up to the suffix, those two belong together, as
they do in a folder: `cat.0.jpg` and `cat.0.txt` are a sample, and `cat.1.jpg` and `cat.1.txt` are another. Members that
are no image, caption or `.cls` are ignored. Only the headers are read; images and texts are read later, straight from
the `.tar`.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from clipcli.data.archives import BoundedReads
from clipcli.data.captions import caption_suffix
from clipcli.data.file_names import is_hidden, is_image_name, without_suffix
from clipcli.errors import BadFile, one_line
from clipcli.files.remote import is_remote, open_bytes
from clipcli.records import Reference, Span

LABEL_SUFFIX = ".cls"


@dataclass(slots=True)
class KeyGroup:
    """The members of one key: `images` and `texts` by name, in the order of the shard."""

    key: str
    images: dict[str, Reference] = field(default_factory=dict)
    texts: dict[str, Reference] = field(default_factory=dict)

    @property
    def texts_by_suffix(self) -> dict[str, Reference]:
        """The texts by suffix; the first of each counts."""
        found: dict[str, Reference] = {}
        for name, where in self.texts.items():
            found.setdefault(_text_suffix(name) or "", where)
        return found

    @property
    def main_images(self) -> list[str]:
        """The images with the fewest dots in their names: a key may have a `mask.png` beside its `jpg`.

        If there are several of other names, nothing says which of them a text is about.
        """
        fewest = min((os.path.basename(name).count(".") for name in self.images), default=0)
        return [name for name in self.images if os.path.basename(name).count(".") == fewest]

    def samples(self) -> Iterator[KeyGroup]:
        """The group itself, or a group for each whole name where a text has the whole name of an image."""
        images = {without_suffix(name) for name in self.images}
        if not images & {without_suffix(name) for name in self.texts} - {self.key}:
            yield self
            return
        names = (without_suffix(name) for name in (*self.images, *self.texts))
        groups = {name: KeyGroup(name) for name in names}
        for name, where in self.images.items():
            groups[without_suffix(name)].images[name] = where
        for name, where in self.texts.items():
            groups[without_suffix(name)].texts[name] = where
        yield from groups.values()


@dataclass(frozen=True, slots=True)
class Shard:
    """The complete members of a shard, grouped by key in order, and a description of its damage, if there is any."""

    groups: tuple[KeyGroup, ...]
    damage: str | None


def read_shard(path: str) -> Shard:
    """Index a shard. Raises nothing: a shard that cannot be read is empty, with its damage described."""
    collected: dict[str, KeyGroup] = {}
    try:
        with open_bytes(path) as file:
            damage = _collect(file, path, collected)
    except OSError as e:
        damage = f"cannot read it: {e.strerror or e}"
    # Each library for addresses raises errors of its own.
    except Exception as e:
        if not is_remote(path):
            raise
        damage = f"cannot read it: {one_line(e)}"
    return Shard(tuple(sample for group in collected.values() for sample in group.samples()), damage)


def images_in(path: str) -> Mapping[str, Reference]:
    """References to all images of a shard, by the names of the members."""
    return {name: where for group in read_shard(path).groups for name, where in group.images.items()}


def split_tar(text: str) -> tuple[str, str] | None:
    """Split a path such as `shard.tar/a.jpg` into the `.tar` file and the member; `None` if it has no such file."""
    parts = text.split("/")
    for n in range(len(parts) - 1, 0, -1):
        path = "/".join(parts[:n])
        if path.lower().endswith(".tar") and (is_remote(path) or os.path.isfile(path)):
            return path, "/".join(parts[n:])
    return None


def _collect(file: BinaryIO, path: str, found: dict[str, KeyGroup]) -> str | None:
    """Add the complete members to `found`, by key; return a description of the damage, or `None`."""
    offset, size = 0, file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        # Its type asks for more of a file than tarfile uses.
        with tarfile.open(fileobj=cast(BinaryIO, BoundedReads(file)), mode="r:") as archive:
            for name, span in _members(archive, end=size):
                _add(name, Reference("span", path, span), found)
            offset = archive.offset
    # tarfile lets what it meets in headers through, and a header before a header makes it call itself.
    except (tarfile.TarError, BadFile, ValueError, OverflowError, IndexError, RecursionError) as e:
        return f"cut off or damaged: {e}"
    # tarfile takes any header that it cannot parse for the end; the real end is a block of zeros.
    file.seek(offset)
    mark = file.read(tarfile.BLOCKSIZE)
    return None if mark == bytes(tarfile.BLOCKSIZE) else f"cut off or damaged at byte {offset}"


def _members(archive: tarfile.TarFile, *, end: int) -> Iterator[tuple[str, Span]]:
    """The names of the files that are complete, and the spans of their bytes."""
    for info in archive:
        if info.isreg() and info.offset_data + info.size <= end:
            yield info.name.removeprefix("./"), Span(info.offset_data, info.size)


def _add(name: str, where: Reference, found: dict[str, KeyGroup]) -> None:
    parts = name.split("/")
    if any(map(is_hidden, parts)):
        return
    key = "/".join((*parts[:-1], parts[-1].partition(".")[0]))
    group = found.setdefault(key, KeyGroup(key))
    if _text_suffix(parts[-1]) is not None:
        group.texts[name] = where
    elif is_image_name(parts[-1]):
        group.images[name] = where


def _text_suffix(name: str) -> str | None:
    return LABEL_SUFFIX if name.lower().endswith(LABEL_SUFFIX) else caption_suffix(name)
