"""A folder of images, at any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from clipcli.data.captions import caption_suffix
from clipcli.data.file_names import is_image_name, without_suffix
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data, TreeFile, files_below
from clipcli.records import Reference

# Shared by all images without texts or cells: there may be millions.
_NONE: Mapping[str, Reference] = {}


def matches(data: Data) -> bool:
    """True if this is a folder."""
    return os.path.isdir(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample]:
    """The images below the folder, sorted by name at each level. `folder` of a sample is the top folder it is in."""
    texts = {} if reading.images_only else texts_beside(data.files)
    # If only images are read, a million files need not be held in memory.
    for image in files_below(data.text) if reading.images_only else data.images:
        parts = image.parts
        if not is_image_name(parts[-1]):
            continue
        place = "/".join(parts)
        beside = texts.get(without_suffix(place), _NONE) if texts else _NONE
        yield Sample(image.item, place, parts[0] if len(parts) > 1 else None, beside, _NONE)


def texts_beside(files: Sequence[TreeFile]) -> Mapping[str, Mapping[str, Reference]]:
    """The caption files of a tree: by path below the root without suffix, then by suffix."""
    texts: dict[str, dict[str, Reference]] = {}
    for file in files:
        suffix = caption_suffix(file.parts[-1])
        if suffix is not None:
            texts.setdefault(without_suffix("/".join(file.parts)), {}).setdefault(suffix, file.reference)
    return texts
