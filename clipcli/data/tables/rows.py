"""Turns rows of a table into samples: finds the image of each, and keeps the wanted cells."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from clipcli.data import tars
from clipcli.data.columns import cell_text, chosen_columns, kept_columns
from clipcli.data.samples import Reading, Sample, image_file, skipped_entry
from clipcli.data.tables import parquet
from clipcli.data.tables.table import Table
from clipcli.data.tree import split_zip, zip_files
from clipcli.records import ImageItem, Reference, Skipped

# A function from the path in a row to its image; `None` if there is no such image.
Find = Callable[[str], ImageItem | None]
_ROW_OF_PARQUET = re.compile(r"(.+\.parquet) row ([1-9]\d*)", re.IGNORECASE)


def samples_of(
    table: Table, reading: Reading, *, find: Find, below: tuple[str, ...] = ()
) -> Iterator[Sample | Skipped]:
    """A sample for each row in order; a row without an image is skipped.

    Paths in the table are relative to `below`, the parts of a folder; `find` gets them joined to it. Raises
    `BadFile` if a column is missing, and as the table's `rows`.
    """
    wanted = [reading.image] if reading.target is None else [reading.image, reading.target]
    image, *targets = chosen_columns(table.columns, wanted, table=table.name)
    kept = kept_columns(table.texts, reading.keep, image=image)
    for where, row in table.rows(image, [*targets, *kept]):
        kept_cells = {name: cell_text(row.get(name)) for name in kept}
        cells = {} if reading.target is None else {reading.target.holds: row.get(targets[0])}
        yield _sample(where, row.get(image), find, below=below, kept_cells=kept_cells, cells=cells)


def find_beside(table: str) -> Find:
    """Finds images beside the table, without checking the disk."""
    folder = os.path.dirname(table)
    return lambda path: image_file(os.path.join(folder, path))


def find_near(table: str) -> Find:
    """Finds images beside the table, else from the working folder, on the disk.

    A path may have any form that `clipcli classify` writes: it may lead into a zip or a shard, or name a row of a
    Parquet file. If nothing is found, the image is taken to be beside the table.
    """
    folder = os.path.dirname(table)
    containers: dict[str, Mapping[str, Reference]] = {}

    def find(path: str) -> ImageItem:
        beside = os.path.join(folder, path)
        for place in dict.fromkeys((beside, path)):
            container, name = (None if os.path.exists(place) else _container_of(place)) or (None, "")
            if container is None:
                continue
            if container not in containers:
                # Each file is listed only once, however many rows lead into it.
                containers[container] = _inside(container)
            if name in containers[container]:
                return ImageItem(path, containers[container][name])
        return image_file(path if not os.path.exists(beside) and os.path.exists(path) else beside)

    return find


def _reason_for_no_path(cell: object) -> str | None:
    """The reason, in a few words, why a cell is no path of an image; `None` if it is one."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return "no image path"
    return "image path is not text" if not isinstance(cell, str) or "\0" in cell else None


def _sample(
    where: str,
    image: object,
    find: Find,
    *,
    below: tuple[str, ...],
    kept_cells: Mapping[str, str | None],
    cells: Mapping[str, object],
) -> Sample | Skipped:
    if isinstance(image, Reference):
        path, found = where, ImageItem(where, image)
    else:
        path, reason = "/".join((*below, str(image))), _reason_for_no_path(image)
        named = None if reason else find(path)
        if named is None:
            return skipped_entry(where, reason or f"no image {path!r}", cells=kept_cells)
        found = named
    item = replace(found, cells=kept_cells) if kept_cells else found
    return Sample(item, os.path.normpath(path), cells=cells)


def _container_of(place: str) -> tuple[str, str] | None:
    """Split a path into a zip, a shard or a Parquet table and the name of an image in it; `None` if it has none."""
    split = split_zip(place)
    if split is not None:
        return split[0], "/".join(split[1])
    row = _ROW_OF_PARQUET.fullmatch(place)
    if row is not None and os.path.isfile(row[1]):
        return row[1], row[2]
    return tars.split_tar(place)


def _inside(container: str) -> Mapping[str, Reference]:
    """References to the files or images in a zip, shard or Parquet table, by name."""
    if container.lower().endswith(".zip"):
        return {"/".join(file.parts): file.reference for file in zip_files(container)}
    if container.lower().endswith(".parquet"):
        return {str(number): cell for number, cell in enumerate(parquet.images_in_cells(container), 1)}
    return tars.images_in(container)
