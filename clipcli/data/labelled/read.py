"""DATA whose classes are known: every image with the name of its class, in a fixed order.

A tree with a folder per class, a table with an image and a label column, WebDataset shards whose `.cls`, `.json` or
`.txt` says the class; a tree or a table may lie in a `.zip`.
"""

from __future__ import annotations

import os

from clipcli.data.labelled import shards as labelled_shards
from clipcli.data.labelled import tables as labelled_tables
from clipcli.data.labelled.records import Columns, Labelled, LabelledData, key_of
from clipcli.data.pairs import PairOptions, folders, imagefolder, shards, sidecars, tables
from clipcli.data.pairs.captions import is_utf8
from clipcli.data.pairs.pair import Data
from clipcli.data.sources.tree import split_archive, top_folders
from clipcli.errors import InputNotFound
from clipcli.records import Skipped

CLASSIFICATION, RETRIEVAL = "classification", "retrieval"


def task_of(data: Data, columns: Columns, *, labelled: bool) -> str:
    """`classification` or `retrieval`: what DATA can be used for; `labelled` says that labels were given.

    Captions in metadata or in a table make it `retrieval`, and so do captions beside images, where there are folders
    of which each could be a class only if most images have one. The `.txt` of shards are captions where most of them
    differ, and names of classes otherwise.
    """
    if labelled or columns.label is not None:
        return CLASSIFICATION
    if columns.caption is not None:
        return RETRIEVAL
    named = labelled_tables.columns_of(data)
    if named is not None:
        captioned = not set(named) & set(labelled_tables.LABEL_COLUMNS) and bool(
            set(named) & set(tables.CAPTION_COLUMNS)
        )
    elif shards.matches(data):
        captioned = labelled_shards.has_captions(data)
    else:
        captioned = imagefolder.matches(data) or _captioned_beside(data)
    return RETRIEVAL if captioned else CLASSIFICATION


def read_labelled(data: Data, columns: Columns) -> LabelledData:
    """The images of one DATA with the names of their classes.

    Raises `InputNotFound` where there is no such data or no image in it, and `BadFile` for a table or a shard that
    cannot be understood.
    """
    if not os.path.exists(data.text) and split_archive(data.text) is None and not shards.matches(data):
        raise InputNotFound(f"no such data: {data.text or repr('')}; check the path")
    if labelled_tables.matches(data):
        read = labelled_tables.read(data, columns)
    elif shards.matches(data):
        read = labelled_shards.read(data)
    else:
        read = _read_tree(data)
    if not any(isinstance(entry, Labelled) for entry in read.entries):
        skipped = [entry for entry in read.entries if isinstance(entry, Skipped)]
        found = f"none but {skipped[0].item.id}: {skipped[0].reason}" if skipped else "none"
        raise InputNotFound(
            f"{data.text}: expected images with labels and found {found};"
            " give a folder per class, a table of images and labels, or shards"
        )
    return read


def _read_tree(data: Data) -> LabelledData:
    entries: list[Labelled | Skipped] = []
    for image in data.images:
        name = image.parts[0]
        if len(image.parts) == 1:
            entries.append(Skipped(image.item, "not in a class folder"))
        elif not is_utf8(name):
            entries.append(Skipped(image.item, "folder name is not UTF-8"))
        else:
            entries.append(Labelled(image.item, name, key_of("/".join(image.parts))))
    names = tuple(name for name in top_folders(data.text) if is_utf8(name)) if data.images else ()
    return LabelledData(data.text, "folder", tuple(entries), names)


def _captioned_beside(data: Data) -> bool:
    if not sidecars.matches(data):
        return False
    return not folders.matches(data) or 2 * len(sidecars.read(data, PairOptions(())).pairs) > len(data.images)
