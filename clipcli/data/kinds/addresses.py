"""Images of other machines: an image, a folder, a glob, or WebDataset shards, which are read in part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clipcli.data.file_names import is_excluded, is_hidden, is_image_name, kind_of_file, suffix_of
from clipcli.data.kinds.folders import OTHER_FILES
from clipcli.data.kinds.paths import samples_of_paths
from clipcli.data.kinds.shards import COMPRESSED
from clipcli.data.patterns import expand_paths, is_glob
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import TABLES
from clipcli.data.tree import EXCLUDED, SYSTEM, Data
from clipcli.errors import InputNotFound
from clipcli.files.remote import files_below, files_like, is_remote, remote_exists
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True for an address such as `s3://bucket/photos`."""
    return is_remote(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images at the address, in the order that a folder on the disk would have.

    What looks like an image by its name is not asked for before it is read. Raises `InputNotFound` for what is not
    there, and for archives and tables, which are not read from afar.
    """
    return samples_of_paths(_paths(data), data, reading)


def _paths(data: Data) -> Iterable[str]:
    paths = list(expand_paths(data.text)) if "{" in data.text else [data.text]
    for path in paths:
        if suffix_of(path) in (*TABLES, ".zip") or path.lower().endswith(COMPRESSED):
            raise InputNotFound(f"{path} is not read from afar; copy it here, or give a .tar or a list, as in @s3://…")
    if len(paths) > 1 or _is_one(paths[0]):
        return paths
    if is_glob(data.text):
        return files_like(data.text)
    below = files_below(data.text)
    if below is not None:
        return _kept(below, data)
    if not remote_exists(data.text):
        raise InputNotFound(f"no such image, folder or shard: {data.text}; check the address")
    return paths


def _is_one(path: str) -> bool:
    """True for the name of an image or a shard without a wildcard."""
    return not is_glob(path) and (is_image_name(path.rpartition("/")[2]) or path.lower().endswith(".tar"))


def _kept(paths: Iterable[str], data: Data) -> list[str]:
    """The images below the folder, or its shards if there are no images; what is left out is counted."""
    start = len(data.text.rstrip("/")) + 1
    images, shards = [], []
    for path in paths:
        parts = tuple(path[start:].split("/"))
        if any(map(is_hidden, parts)):
            if is_image_name(parts[-1]):
                data.notices.add(SYSTEM, path)
        elif any(is_excluded(parts[: n + 1], data.exclude) for n in range(len(parts))):
            data.notices.add(EXCLUDED, path)
        elif is_image_name(parts[-1]):
            images.append(path)
        elif parts[-1].lower().endswith(".tar"):
            shards.append(path)
        else:
            data.notices.add(OTHER_FILES, path, kind=kind_of_file(parts[-1]))
    return images or shards
