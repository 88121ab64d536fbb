"""Samples of the paths in lists, globs and inputs: files, folders, zips and shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from clipcli.data.captions import caption_suffix
from clipcli.data.file_names import without_suffix
from clipcli.data.kinds import folders, shards
from clipcli.data.samples import Reading, Sample, image_file
from clipcli.data.tree import Data, split_zip
from clipcli.records import ImageItem, Reference, Skipped


def samples_of_paths(paths: Iterable[str], reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of the paths, in order. A path that is no folder, zip or shard is taken for an image, unchecked.

    `folder` of a sample is the folder that the image is in; its texts are the caption files beside it. A path of a
    caption file is left out, unless only images are read.
    """
    texts: dict[str, Mapping[str, Mapping[str, Reference]]] = {}
    for path in paths:
        if os.path.isdir(path) or split_zip(path) is not None:
            yield from _in_tree(Data(path), reading)
        elif path.lower().endswith(".tar") and os.path.isfile(path):
            yield from shards.samples_in(path, reading)
        elif reading.images_only:
            yield Sample(image_file(path), path)
        elif caption_suffix(path) is None:
            folder, name = os.path.split(path)
            if folder not in texts:
                texts[folder] = _texts_in(folder)
            yield _sample(image_file(path), texts[folder].get(without_suffix(name), {}))


def _in_tree(data: Data, reading: Reading) -> Iterator[Sample]:
    """The images of a folder or a zip among the paths."""
    if reading.images_only:
        yield from folders.samples(data, reading)
        return
    around = Data(os.path.dirname(data.text)) if data.is_one_file else data
    texts = folders.texts_beside(around.files)
    for image in data.images:
        yield _sample(image.item, texts.get(without_suffix("/".join(image.parts)), {}))


def _sample(item: ImageItem, texts: Mapping[str, Reference]) -> Sample:
    return Sample(item, os.path.normpath(item.id), folder=_folder_of(item), texts=texts)


def _folder_of(item: ImageItem) -> str | None:
    """The name of the folder that the image is in; `None` at the top of a zip."""
    folder = os.path.dirname(item.id)
    if folder == item.file:
        return None
    name = os.path.basename(folder)
    return name if name not in ("", ".", "..") else os.path.basename(os.path.abspath(folder)) or None


def _texts_in(folder: str) -> Mapping[str, Mapping[str, Reference]]:
    """The caption files of a folder: by name without suffix, then by suffix."""
    found: dict[str, dict[str, Reference]] = {}
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return {}
    for name in names:
        suffix = caption_suffix(name)
        if suffix is not None:
            path = os.path.join(folder, name)
            found.setdefault(without_suffix(name), {}).setdefault(suffix, Reference("file", path))
    return found
