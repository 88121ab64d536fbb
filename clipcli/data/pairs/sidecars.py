"""A folder of images with a caption file of the same name beside each: `a.jpg` and `a.txt`."""

from __future__ import annotations

import os

from clipcli.data.pairs.captions import Uncaptioned, caption_suffix, captions_beside
from clipcli.data.pairs.pair import Data, Pair, PairOptions, PairsRead
from clipcli.data.sources.tree import TreeFile
from clipcli.records import Reference, Skipped

Stem = tuple[str, ...]


def matches(data: Data) -> bool:
    """Whether at least one image has a caption file beside it."""
    sidecars = _sidecars(data)
    return any(_stem(image) in sidecars for image in data.images)


def read(data: Data, _options: PairOptions) -> PairsRead:
    """Each image with the captions of the file beside it, in the order of the images."""
    sidecars = _sidecars(data)
    found = PairsRead([], [])
    for image in data.images:
        try:
            found.pairs.append(Pair(image.item, captions_beside(sidecars.get(_stem(image), {}))))
        except Uncaptioned as reason:
            found.skipped.append(Skipped(image.item, str(reason)))
    return found


def _sidecars(data: Data) -> dict[Stem, dict[str, Reference]]:
    """For each name without its suffix the caption files by their suffixes."""
    sidecars: dict[Stem, dict[str, Reference]] = {}
    for file in data.files:
        suffix = caption_suffix(file.parts[-1])
        if suffix is not None:
            sidecars.setdefault(_stem(file), {}).setdefault(suffix, file.reference)
    return sidecars


def _stem(file: TreeFile) -> Stem:
    return (*file.parts[:-1], os.path.splitext(file.parts[-1])[0])
