"""WebDataset shards: uncompressed `.tar` files, in which an image and its captions follow each other under one key.

The key of a member is its path up to the first dot of its name, as in webdataset; members that are no image, caption
or `.cls` are left alone. Each shard is gone through once, for its headers and texts; images are then read where they
lie.
"""

from __future__ import annotations

import glob
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from clipcli.data.pairs.captions import Uncaptioned, caption_suffix, captions_beside
from clipcli.data.pairs.pair import Data, Pair, PairOptions, PairsRead, skipped_place
from clipcli.data.sources import globs
from clipcli.data.sources.suffixes import is_hidden, is_image_name
from clipcli.errors import InputNotFound
from clipcli.records import ImageItem, Reference, Skipped, Span

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
LABEL_SUFFIX = ".cls"
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a shard: its path there, and where its bytes lie."""

    name: str
    offset: int
    size: int

    def reference(self, path: str) -> Reference:
        """Where its bytes lie in the shard at this path."""
        return Reference("span", path, Span(self.offset, self.size))


@dataclass(slots=True)
class Sample:
    """What lies under one key: its images, its caption files by their suffixes, and its `.cls` file."""

    key: str
    images: list[Member] = field(default_factory=list)
    sidecars: dict[str, Member] = field(default_factory=dict)
    label: Member | None = None


@dataclass(frozen=True, slots=True)
class ImageWithTexts:
    """An image of a shard, and the text files under its key, by their suffixes."""

    item: ImageItem
    texts: Mapping[str, Reference]


def matches(data: Data) -> bool:
    """Whether this is written as shards, or is a folder of them without images."""
    if os.path.isdir(data.text):
        return not data.images and any(_is_shard(file.id) for file in data.files)
    return _is_shard(data.text)


def read(data: Data, _options: PairOptions) -> PairsRead:
    """The pairs of all shards in order; a damaged shard gives what is whole in it, and is itself skipped.

    Raises `InputNotFound` for a shard that is missing or compressed.
    """
    found = PairsRead([], [])
    for sample in samples(data):
        if isinstance(sample, Skipped):
            found.skipped.append(sample)
            continue
        try:
            found.pairs.append(Pair(sample.item, captions_beside(sample.texts)))
        except Uncaptioned as reason:
            found.skipped.append(Skipped(sample.item, str(reason)))
    return found


def samples(data: Data) -> Iterator[ImageWithTexts | Skipped]:
    """The images of all shards in order, each with its texts, and what is wrong with a shard.

    Raises `InputNotFound` for a shard that is missing or compressed.
    """
    in_folder = os.path.isdir(data.text)
    paths = (file.id for file in data.files if _is_shard(file.id)) if in_folder else shard_paths(data.text)
    # All of them are looked for before the first is read, which may take a while.
    for path in [_checked(path) for path in paths]:
        yield from _samples_of(path)


def shard_paths(text: str) -> Iterator[str]:
    """The paths behind a path, a brace range or a glob, in order; whether they are there is not looked at."""
    span = None if os.path.exists(text) else _RANGE.search(text)
    if span is not None:
        first, last = span.groups()
        width = len(first) if first.startswith("0") else 0
        down = -1 if int(last) < int(first) else 1
        for number in range(int(first), int(last) + down, down):
            yield from shard_paths(f"{text[: span.start()]}{number:0{width}}{text[span.end() :]}")
    elif glob.has_magic(text) and not os.path.exists(text):
        yield from globs.paths(text)
    else:
        yield text


def _is_shard(path: str) -> bool:
    return path.lower().endswith((".tar", *COMPRESSED))


def _checked(path: str) -> str:
    if not os.path.isfile(path):
        raise InputNotFound(f"no such shard: {path}; check the path")
    if path.lower().endswith(COMPRESSED):
        raise InputNotFound(f"{path} is compressed, so its images cannot be read where they lie; unpack it to a .tar")
    return path


def _samples_of(path: str) -> Iterator[ImageWithTexts | Skipped]:
    """The samples of one shard in the order of its keys, and what is wrong with it."""
    try:
        with open(path, "rb") as file:
            collected: dict[str, Sample] = {}
            damage = _collect(file, collected)
            for sample in collected.values():
                entry = _entry(sample, path=path)
                if entry is not None:
                    yield entry
    except OSError as e:
        damage = f"cannot read it: {e.strerror or e}"
    if damage is not None:
        yield skipped_place(path, damage)


def _collect(file: BinaryIO, samples: dict[str, Sample]) -> str | None:
    """Sort the whole members by their keys, and say what is wrong with the shard where something is."""
    end = os.fstat(file.fileno()).st_size
    offset = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                if info.isreg() and info.offset_data + info.size <= end:
                    _add(Member(info.name, info.offset_data, info.size), samples)
            offset = archive.offset
    except tarfile.TarError as e:
        return f"cut off or damaged: {e}"
    # tarfile takes whatever it does not understand for the end; the real end is marked with zeros.
    file.seek(offset)
    mark = file.read(tarfile.BLOCKSIZE)
    return None if mark == bytes(tarfile.BLOCKSIZE) else f"cut off or damaged at byte {offset}"


def _add(member: Member, samples: dict[str, Sample]) -> None:
    parts = member.name.removeprefix("./").split("/")
    if any(map(is_hidden, parts)):
        return
    key = "/".join((*parts[:-1], parts[-1].partition(".")[0]))
    sample = samples.setdefault(key, Sample(key))
    suffix = caption_suffix(parts[-1])
    if suffix is not None:
        sample.sidecars.setdefault(suffix, member)
    elif parts[-1].lower().endswith(LABEL_SUFFIX):
        sample.label = sample.label or member
    elif is_image_name(parts[-1]):
        sample.images.append(member)


def _entry(sample: Sample, *, path: str) -> ImageWithTexts | Skipped | None:
    """The sample's image with its texts; `None` where it has neither image nor caption."""
    if not sample.images:
        return skipped_place(f"{path}/{sample.key}", "no image") if sample.sidecars else None
    # A key may have a mask.png besides its jpg: the image is the member with the shortest suffix.
    image = min(sample.images, key=lambda member: os.path.basename(member.name).count("."))
    item = ImageItem(f"{path}/{image.name.removeprefix('./')}", image.reference(path))
    members = sample.sidecars | ({} if sample.label is None else {LABEL_SUFFIX: sample.label})
    return ImageWithTexts(item, {suffix: member.reference(path) for suffix, member in members.items()})
