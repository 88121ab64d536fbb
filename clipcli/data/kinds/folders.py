"""A folder of images, at any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from clipcli.data.captions import CAPTION_SUFFIXES, caption_suffix
from clipcli.data.file_names import kind_of_file, suffix_of, without_suffix
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data, TreeFile
from clipcli.notices import Notice
from clipcli.records import Reference, Skipped

OTHER_FILES = Notice(
    "file is no image", "files are no images", "passed over; name one as an input to have it tried", warns=False
)
# Files that may be about images: captions, labels, and tables of them.
_TEXTS = (*CAPTION_SUFFIXES, ".csv", ".tsv", ".jsonl", ".cls", ".tar")
# Shared by all images without texts or cells: there may be millions.
_NONE: Mapping[str, Reference] = {}


def matches(data: Data) -> bool:
    """True if this is a folder."""
    return os.path.isdir(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images below the folder, sorted by name at each level. `folder` of a sample is the top folder it is in."""
    texts = {} if reading.images_only else texts_beside(data.files)
    for image in images_of(data, reading):
        parts = image.parts
        if image.is_unreadable_folder:
            yield Skipped(image.item, str(image.reference.member))
            continue
        place = "/".join(parts)
        beside = texts.get(without_suffix(place), _NONE) if texts else _NONE
        yield Sample(image.item, place, parts[0] if len(parts) > 1 else None, beside, _NONE)


def images_of(data: Data, reading: Reading) -> Iterator[TreeFile]:
    """The images of a tree. Files of other kinds are counted, unless they may be about the images."""
    # If only images are read, a million files need not be held in memory.
    for file in data.walk() if reading.images_only else data.files:
        if file.is_image or (data.also and suffix_of(file.parts[-1]) in data.also):
            yield file
        elif reading.images_only or suffix_of(file.parts[-1]) not in _TEXTS:
            data.notices.add(OTHER_FILES, file.id, kind=kind_of_file(file.parts[-1]))


def texts_beside(files: Sequence[TreeFile]) -> Mapping[str, Mapping[str, Reference]]:
    """The caption files of a tree: by path below the root without suffix, then by suffix."""
    texts: dict[str, dict[str, Reference]] = {}
    for file in files:
        suffix = caption_suffix(file.parts[-1])
        if suffix is not None:
            texts.setdefault(without_suffix("/".join(file.parts)), {}).setdefault(suffix, file.reference)
    return texts
