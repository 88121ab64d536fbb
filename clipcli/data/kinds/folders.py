"""A folder of images, with the folders inside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from clipcli.data.captions import caption_suffix
from clipcli.data.samples import Reading, Sample
from clipcli.data.suffixes import is_image_name, without_suffix
from clipcli.data.tree import Data, TreeFile, files_below
from clipcli.records import Reference

# One for all images without any: there may be millions.
_NONE: Mapping[str, Reference] = {}


def matches(data: Data) -> bool:
    """True where this is a folder."""
    return os.path.isdir(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample]:
    """The images below it, sorted by name at each level; those in a folder may be of the class of the top one."""
    texts = {} if reading.images_only else texts_beside(data.files)
    # A million files need not all be held where the images alone are wanted.
    for image in files_below(data.text) if reading.images_only else data.images:
        parts = image.parts
        if not is_image_name(parts[-1]):
            continue
        place = "/".join(parts)
        beside = texts.get(without_suffix(place), _NONE) if texts else _NONE
        yield Sample(image.item, place, parts[0] if len(parts) > 1 else None, beside, _NONE)


def texts_beside(files: Sequence[TreeFile]) -> Mapping[str, Mapping[str, Reference]]:
    """The caption files by their suffixes, for each path below the root without a suffix."""
    texts: dict[str, dict[str, Reference]] = {}
    for file in files:
        suffix = caption_suffix(file.parts[-1])
        if suffix is not None:
            texts.setdefault(without_suffix("/".join(file.parts)), {}).setdefault(suffix, file.reference)
    return texts
