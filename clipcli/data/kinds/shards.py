"""WebDataset shards: a path, a brace range, a glob, or a folder of shards."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.file_names import without_suffix
from clipcli.data.patterns import expand_paths
from clipcli.data.samples import Reading, Sample, skipped_entry
from clipcli.data.tars import LABEL_SUFFIX, read_shard
from clipcli.data.tree import Data, split_zip
from clipcli.errors import BadFile, InputNotFound
from clipcli.records import ImageItem, Skipped

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


def matches(data: Data) -> bool:
    """True for names that end in `.tar`, and for a folder that has shards and no images."""
    if os.path.isdir(data.text):
        return _holds_shards_alone(data.text)
    return _is_shard(data.text) and split_zip(data.text) is None


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of all shards in order. A damaged shard gives its complete images and then a skipped entry.

    Raises `InputNotFound` for a shard that is missing or compressed.
    """
    in_folder = os.path.isdir(data.text)
    paths = (file.id for file in data.files if _is_shard(file.id)) if in_folder else expand_paths(data.text)
    # All paths are checked before the first shard is read, which may take a while.
    for path in [_checked(path) for path in paths]:
        yield from samples_in(path, reading)


def samples_in(path: str, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of one shard in the order of its keys, and a skipped entry if it is damaged.

    A text without an image gives a skipped entry too, unless only images are read. Raises `BadFile` for a text that may
    be about several images, unless only images are read.
    """
    shard = read_shard(path)
    for group in shard.groups:
        texts = {} if reading.images_only else group.texts_by_suffix
        main = group.main_images
        if texts and len({without_suffix(name) for name in main}) > 1:
            raise BadFile(
                f"{path}: the text of key {group.key} may be about {main[0]} or {main[1]}; "
                "give each image a text of its own name, or each sample a key of its own"
            )
        for name, where in group.images.items():
            yield Sample(ImageItem(f"{path}/{name}", where), name, texts=texts, auxiliary=name != main[0])
        if not main and texts.keys() - {LABEL_SUFFIX}:
            yield skipped_entry(f"{path}/{group.key}", "no image")
    if shard.damage is not None:
        yield skipped_entry(path, shard.damage)


def _holds_shards_alone(folder: str) -> bool:
    """True if there are shards below the folder and no images. Stops listing at the first image."""
    found = False
    for file in Data(folder).walk():
        if file.is_image and not file.is_unreadable_folder:
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
