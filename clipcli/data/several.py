"""Reads images of which each may have several labels, or none, for `evaluate --multi-label`: from tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clipcli.classes.joined import split_labels
from clipcli.data.class_names import name_in
from clipcli.data.columns import IMAGE, Column, Columns
from clipcli.data.kinds import KINDS, TREES, kind_of
from clipcli.data.labelled import Labelled, LabelledData
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import in_tree
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound
from clipcli.records import ImageItem, Skipped

LABELS = Column("label", ("truth", "labels", "label", "tags", "classes", "categories", "class", "category"))


@dataclass(frozen=True, slots=True)
class WithLabels:
    """An image with the names of its labels, as DATA spells them; `key` is its path within DATA, without suffix."""

    item: ImageItem
    names: tuple[str, ...]
    key: str


@dataclass(frozen=True, slots=True)
class SeveralData:
    """The images of one DATA in order, as the user wrote it in `text`, with their labels, or the reason for none."""

    text: str
    entries: tuple[WithLabels | Skipped, ...]

    @property
    def images(self) -> list[WithLabels]:
        """The images whose labels are known."""
        return [entry for entry in self.entries if isinstance(entry, WithLabels)]

    def each_label(self) -> LabelledData:
        """The data with an entry for each label of an image, in order."""
        pairs = tuple(Labelled(image.item, name, image.key) for image in self.images for name in image.names)
        return LabelledData(self.text, "value", pairs, tuple(sorted({pair.name for pair in pairs})))


def read_several(data: Data, columns: Columns) -> SeveralData:
    """The images of a table with all their labels: a list in a cell, or labels split by `;`; a blank cell has none.

    Raises `InputNotFound` if there is no such data, or no table or no label in it, `BadFile` for a table that cannot be
    parsed, and `MissingExtra` for Parquet without pyarrow.
    """
    kind = kind_of(data)
    if kind is None:
        raise InputNotFound(f"no such data: {data.text or repr('')}; check the path")
    reading = Reading(IMAGE.named(columns.image), target=LABELS.named(columns.label))
    table = in_tree.table_of(data) if kind in TREES else None
    samples: Iterable[Sample | Skipped]
    if table is not None:
        samples = in_tree.samples_in([table], data.files, reading, notices=data.notices)
    elif kind == "table":
        samples = KINDS[kind].samples(data, reading)
    else:
        raise InputNotFound(
            f"{data.text}: expected a table for several labels an image, with a column of images and one of labels,"
            " split by ';', as clipcli classify --multi-label writes; or drop --multi-label"
        )
    read = SeveralData(data.text, tuple(map(_entry, samples)))
    if not any(image.names for image in read.images):
        raise InputNotFound(
            f"{data.text}: no image has a label; expected labels split by ';' in a column such as labels"
        )
    return read


def _entry(sample: Sample | Skipped) -> WithLabels | Skipped:
    if isinstance(sample, Skipped):
        return sample
    names = _names(sample.cells[LABELS.holds])
    if names is None:
        return Skipped(sample.item, "the labels are no text and no list, or a quote is missing")
    return WithLabels(sample.item, names, sample.key)


def _names(cell: object) -> tuple[str, ...] | None:
    """The names in a cell, each once; `None` if it holds something else."""
    if cell is None:
        return ()
    if isinstance(cell, str):
        try:
            # Written by hand, it may have blanks, or a mark at its end.
            cell = [label for label in split_labels(cell) if label.strip()]
        except ValueError:
            return None
    names = [name_in(one) for one in (cell if isinstance(cell, list | tuple) else [cell])]
    found = tuple(dict.fromkeys(name for name in names if name is not None))
    return None if None in names else found
