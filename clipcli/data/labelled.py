"""Reads images with the names of their classes, for `evaluate`.

The class of an image is the top folder in a folder or a zip, the label column of a table (also of one inside a folder),
the `.cls`, `.json` or `.txt` beside it in a shard, or for paths in a list or a glob the folder that the image is in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clipcli.data.captions import is_utf8
from clipcli.data.class_names import name_in, name_in_texts
from clipcli.data.columns import IMAGE, LABEL, Columns
from clipcli.data.kinds import KINDS, TREES, kind_of
from clipcli.data.layouts import check_folders
from clipcli.data.reference import sequential_reader
from clipcli.data.samples import Reading, Sample, place_of
from clipcli.data.tables import in_tree
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound, some_of
from clipcli.records import ImageItem, Skipped


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image with the name of its class, as DATA spells it; `key` is its path within DATA, without suffix."""

    item: ImageItem
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class LabelledData:
    """The labelled images of one DATA, as the user wrote it in `text`.

    `entries` hold every image in order, also those skipped. `names` are those of all classes, also of folders without
    images. `noun` says where the names come from: folders, or values of cells and text files.
    """

    text: str
    noun: Literal["folder", "value"]
    entries: tuple[Labelled | Skipped, ...]
    names: tuple[str, ...]


def read_labelled(data: Data, columns: Columns) -> LabelledData:
    """The images of one DATA with the names of their classes, in a fixed order.

    Raises `InputNotFound` if there is no such data or no labelled image in it, `BadFile` for a table that cannot be
    parsed, and `MissingExtra` for Parquet without pyarrow.
    """
    kind = kind_of(data)
    if kind is None:
        raise InputNotFound(f"no such data: {data.text or repr('')}; check the path")
    reading = Reading(IMAGE.named(columns.image), target=LABEL.named(columns.label))
    table = in_tree.table_of(data) if kind in TREES else None
    if table is not None:
        read = _from_rows(data, in_tree.samples_in([table], data.files, reading, notices=data.notices))
    elif kind == "table":
        read = _from_rows(data, KINDS[kind].samples(data, reading))
    elif kind == "shards":
        read = _from_texts(data, KINDS[kind].samples(data, reading))
    else:
        read = _from_folders(data, list(KINDS[kind].samples(data, reading)), is_tree=kind in TREES)
    if not any(isinstance(entry, Labelled) for entry in read.entries):
        skipped = [entry for entry in read.entries if isinstance(entry, Skipped)]
        found = f"none but {skipped[0].item.id}: {skipped[0].reason}" if skipped else "none"
        raise InputNotFound(
            f"{data.text}: expected images with labels and found {found};"
            " give a folder per class, a table of images and labels, or shards"
        )
    return read


def labelled_of(read: LabelledData) -> Iterator[Labelled]:
    """The entries that are not skipped."""
    return (entry for entry in read.entries if isinstance(entry, Labelled))


def names_of(entries: Sequence[Labelled | Skipped]) -> tuple[str, ...]:
    """The names of all classes that have an image, sorted."""
    return tuple(sorted({entry.name for entry in entries if isinstance(entry, Labelled)}))


def named_twice(read: LabelledData) -> dict[str, tuple[str, ...]]:
    """The images that have more than one class name, with these names."""
    names: dict[str, dict[str, None]] = {}
    for labelled in labelled_of(read):
        names.setdefault(place_of(labelled.item), {})[labelled.name] = None
    return {image: tuple(found) for image, found in names.items() if len(found) > 1}


def warnings_of_several_names(read: LabelledData) -> list[str]:
    """A warning if images have more than one class name."""
    several = named_twice(read)
    if not several:
        return []
    image, names = next(iter(several.items()))
    more = f", and {len(several) - 1:,} more images have several" if len(several) > 1 else ""
    return [f"{read.text}: {image} has the labels {some_of(names)}{more}; each counts as an image"]


def _from_rows(data: Data, samples: Iterable[Sample | Skipped]) -> LabelledData:
    entries: list[Labelled | Skipped] = []
    for sample in samples:
        if isinstance(sample, Skipped):
            entries.append(sample)
            continue
        name = name_in(sample.cells[LABEL.holds])
        entries.append(Skipped(sample.item, "no label") if name is None else Labelled(sample.item, name, sample.key))
    return LabelledData(data.text, "value", _rooted(entries), names_of(entries))


def _from_texts(data: Data, samples: Iterable[Sample | Skipped]) -> LabelledData:
    entries: list[Labelled | Skipped] = []
    with sequential_reader() as read:
        for sample in samples:
            if isinstance(sample, Skipped):
                entries.append(sample)
            elif not sample.auxiliary:
                name = name_in_texts(sample.texts, read=read)
                unlabelled = Skipped(sample.item, "no label")
                entries.append(unlabelled if name is None else Labelled(sample.item, name, sample.key))
    return LabelledData(data.text, "value", tuple(entries), names_of(entries))


def _from_folders(data: Data, samples: Sequence[Sample | Skipped], *, is_tree: bool) -> LabelledData:
    """Each image with its folder as the class. Where all samples are from listed shards, their texts are used."""
    if samples and all(isinstance(sample, Skipped) or sample.folder is None for sample in samples) and not is_tree:
        return _from_texts(data, samples)
    entries: list[Labelled | Skipped] = []
    for sample in samples:
        if isinstance(sample, Skipped):
            entries.append(sample)
        elif sample.folder is None:
            entries.append(Skipped(sample.item, "not in a class folder"))
        elif not is_utf8(sample.folder):
            entries.append(Skipped(sample.item, "folder name is not UTF-8"))
        else:
            entries.append(Labelled(sample.item, sample.folder, sample.key))
    if is_tree:
        check_folders(data, names_of(entries))
    else:
        return LabelledData(data.text, "folder", _rooted(entries), names_of(entries))
    # Folders without images are classes too.
    names = tuple(name for name in data.folders if is_utf8(name)) if data.images else ()
    return LabelledData(data.text, "folder", tuple(entries), names)


def _rooted(entries: Sequence[Labelled | Skipped]) -> tuple[Labelled | Skipped, ...]:
    """The entries with keys relative to the deepest folder that they all share."""
    above = [os.path.dirname(entry.key) for entry in entries if isinstance(entry, Labelled)]
    shared = os.path.commonpath(above) if above and len({os.path.isabs(path) for path in above}) == 1 else ""
    return tuple(_below(entry, shared) for entry in entries)


def _below(entry: Labelled | Skipped, folder: str) -> Labelled | Skipped:
    if isinstance(entry, Skipped) or not folder:
        return entry
    return replace(entry, key=os.path.relpath(entry.key, folder))
