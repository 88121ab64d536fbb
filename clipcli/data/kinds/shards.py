"""WebDataset shards: a path, a brace range, a glob, or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.patterns import expanded
from clipcli.data.samples import Reading, Sample, skipped_place
from clipcli.data.tars import LABEL_SUFFIX, read_shard
from clipcli.data.tree import Data, files_below, split_zip
from clipcli.errors import InputNotFound
from clipcli.records import ImageItem, Skipped

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


def matches(data: Data) -> bool:
    """True where this is written as shards, or is a folder of them without images."""
    if os.path.isdir(data.text):
        return _holds_shards_alone(data.text)
    return _is_shard(data.text) and split_zip(data.text) is None


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of all shards in order; a damaged shard gives what is whole in it, and is itself skipped.

    Raises `InputNotFound` for a shard that is missing or compressed.
    """
    in_folder = os.path.isdir(data.text)
    paths = (file.id for file in data.files if _is_shard(file.id)) if in_folder else expanded(data.text)
    # All of them are looked for before the first is read, which may take a while.
    for path in [_checked(path) for path in paths]:
        yield from samples_in(path, reading)


def samples_in(path: str, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of one shard in the order of its keys, and what is wrong with it.

    A caption without an image is skipped where captions are asked for.
    """
    shard = read_shard(path)
    for keyed in shard.keyed:
        main = keyed.main if keyed.images else None
        for name, where in keyed.images.items():
            item = ImageItem(f"{path}/{name}", where)
            yield Sample(item, name, texts=keyed.texts, aside=name != main)
        if main is None and keyed.texts.keys() - {LABEL_SUFFIX} and not reading.images_only:
            yield skipped_place(f"{path}/{keyed.key}", "no image")
    if shard.damage is not None:
        yield skipped_place(path, shard.damage)


def _holds_shards_alone(folder: str) -> bool:
    """True where there are shards below the folder and no images; it is listed until the first image."""
    found = False
    for file in files_below(folder):
        if file.is_image:
            return False
        found = found or _is_shard(file.id)
    return found


def _is_shard(path: str) -> bool:
    return path.lower().endswith((".tar", *COMPRESSED))


def _checked(path: str) -> str:
    if not os.path.isfile(path):
        raise InputNotFound(f"no such shard: {path}; check the path")
    if path.lower().endswith(COMPRESSED):
        raise InputNotFound(f"{path} is compressed, so its images cannot be read where they lie; unpack it to a .tar")
    return path
