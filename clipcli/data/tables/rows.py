"""Rows of a table become samples: where the image of each row is found, and which of its cells go along."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from clipcli.data import tars
from clipcli.data.columns import cell_text, chosen_columns, kept_columns
from clipcli.data.samples import Reading, Sample, image_file, skipped_place
from clipcli.data.tables import parquet
from clipcli.data.tables.table import Table
from clipcli.data.tree import split_zip, zip_files
from clipcli.records import ImageItem, Reference, Skipped

# From the path in a row to its image, or `None` where it is known that there is none.
Find = Callable[[str], ImageItem | None]
_ROW_OF_PARQUET = re.compile(r"(.+\.parquet) row ([1-9]\d*)", re.IGNORECASE)


def samples_of(
    table: Table, reading: Reading, *, find: Find, below: tuple[str, ...] = ()
) -> Iterator[Sample | Skipped]:
    """A sample for each row in order, or why the row names no image; its path is to be read below the folder `below`.

    Raises `BadFile` where a column is missing.
    """
    wanted = [reading.image] if reading.told is None else [reading.image, reading.told]
    image, *told = chosen_columns(table.columns, wanted, table=table.name)
    kept = kept_columns(table.texts, reading.keep, image=image)
    for where, row in table.rows(image, [*told, *kept]):
        carried = {name: cell_text(row.get(name)) for name in kept}
        cells = {} if reading.told is None else {reading.told.holds: row.get(told[0])}
        yield _sample(where, row.get(image), find, below=below, carried=carried, cells=cells)


def beside(table: str) -> Find:
    """Images beside the table; whether they are there is not looked at."""
    folder = os.path.dirname(table)
    return lambda path: image_file(os.path.join(folder, path))


def looked_up(table: str) -> Find:
    """Images beside the table, else from where we are, as `clipcli classify` writes them.

    So a path may lead into a zip or a shard, or name a row of a Parquet file.
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
                # Each is listed once, however many rows lead into it.
                containers[container] = _inside(container)
            if name in containers[container]:
                return ImageItem(path, containers[container][name])
        there = path if not os.path.exists(beside) and os.path.exists(path) else beside
        return image_file(there)

    return find


def why_no_path(cell: object) -> str | None:
    """The reason why a cell is no path of an image, in a few words; `None` where it is one."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return "no image path"
    return "image path is not text" if not isinstance(cell, str) or "\0" in cell else None


def _sample(
    where: str,
    image: object,
    find: Find,
    *,
    below: tuple[str, ...],
    carried: Mapping[str, str | None],
    cells: Mapping[str, object],
) -> Sample | Skipped:
    if isinstance(image, Reference):
        path, found = where, ImageItem(where, image)
    else:
        path, reason = "/".join((*below, str(image))), why_no_path(image)
        named = None if reason else find(path)
        if named is None:
            return skipped_place(where, reason or f"no image {path!r}", cells=carried)
        found = named
    item = replace(found, cells=carried) if carried else found
    return Sample(item, os.path.normpath(path), cells=cells)


def _container_of(place: str) -> tuple[str, str] | None:
    """The file that a path leads into, a zip, a shard or a Parquet table, and the name of an image in it."""
    split = split_zip(place)
    if split is not None:
        return split[0], "/".join(split[1])
    row = _ROW_OF_PARQUET.fullmatch(place)
    if row is not None and os.path.isfile(row[1]):
        return row[1], row[2]
    return tars.split_tar(place)


def _inside(container: str) -> Mapping[str, Reference]:
    """References to what a file holds, by their names in it."""
    if container.lower().endswith(".zip"):
        return {"/".join(file.parts): file.reference for file in zip_files(container)}
    if container.lower().endswith(".parquet"):
        return {str(number): cell for number, cell in enumerate(parquet.images_in_cells(container), 1)}
    return tars.images_in(container)
