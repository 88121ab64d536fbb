"""Samples of the paths in lists, globs and inputs: files, folders, zips and shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from clipcli.data.captions import caption_suffix
from clipcli.data.file_names import without_suffix
from clipcli.data.kinds import folders, shards
from clipcli.data.lookup import Files, files_on_disk, spelt
from clipcli.data.samples import Reading, Sample, skipped_entry
from clipcli.data.tree import Data, split_zip
from clipcli.files.remote import is_remote
from clipcli.notices import Notices
from clipcli.records import ImageItem, Reference, Skipped


def samples_of_paths(paths: Iterable[str], data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of the paths, in order. A path that is no folder, zip or shard is taken for an image, unchecked.

    A path that is not there as written is looked for with `/` for backslashes and in the other forms of Unicode, and
    keeps its spelling. `folder` of a sample is the folder that the image is in; its texts are the caption files beside
    it. A path of a caption file is left out, unless only images are read. A folder or a zip without images is skipped.
    `data` is what the paths are from.
    """
    texts: dict[str, Mapping[str, Mapping[str, Reference]]] = {}
    files = files_on_disk()
    for written in filter(data.keeps_path, paths):
        path = written if is_remote(written) else _as_it_lies(written, files, data.notices)
        if os.path.isdir(path) or split_zip(path) is not None:
            yield from _or_none(_in_tree(data.at(path), reading), written)
        elif path.lower().endswith(".tar") and (is_remote(path) or os.path.isfile(path)):
            yield from shards.samples_in(path, reading)
        elif reading.images_only:
            yield Sample(ImageItem(written, Reference("file", path)), path)
        elif caption_suffix(path) is None:
            folder, name = os.path.split(path)
            if folder not in texts:
                texts[folder] = _texts_in(folder)
            item = ImageItem(written, Reference("file", path))
            yield _sample(item, path, texts[folder].get(without_suffix(name), {}))


def _as_it_lies(path: str, files: Files, notices: Notices) -> str:
    """The path as it is on the disk, or in a zip on it; unchanged if it is not there in any spelling."""
    # Most paths need not be looked up; and backslashes alone name nothing, where slashes would be the whole disk.
    if ("\\" not in path and path.isascii()) or not path.strip("\\"):
        return path
    found = spelt(path, files, notices)
    if found is not None:
        return found
    slashed = path.replace("\\", "/")
    return slashed if split_zip(slashed) is not None else path


def _or_none(samples: Iterator[Sample | Skipped], path: str) -> Iterator[Sample | Skipped]:
    """The samples; if there is not one, a skipped entry for their path."""
    first = next(samples, None)
    if first is None:
        yield skipped_entry(path, "no image in it")
        return
    yield first
    yield from samples


def _in_tree(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of a folder or a zip among the paths."""
    if reading.images_only:
        yield from folders.samples(data, reading)
        return
    around = data.at(os.path.dirname(data.text)) if data.is_one_file else data
    texts = folders.texts_beside(around.files)
    for image in folders.images_of(data, reading):
        yield _sample(image.item, image.id, texts.get(without_suffix("/".join(image.parts)), {}))


def _sample(item: ImageItem, path: str, texts: Mapping[str, Reference]) -> Sample:
    return Sample(item, os.path.normpath(path), folder=_folder_of(item, path), texts=texts)


def _folder_of(item: ImageItem, path: str) -> str | None:
    """The name of the folder that the image at the path is in; `None` at the top of a zip."""
    folder = os.path.dirname(path)
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
