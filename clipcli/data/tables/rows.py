"""Turns rows of a table into samples: finds the image of each, and keeps the wanted cells."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from clipcli.classes.normal_form import composed
from clipcli.data import tars
from clipcli.data.columns import cell_text, found_columns, id_column, kept_columns, no_column, path_in
from clipcli.data.lookup import Around, files_on_disk, spelt
from clipcli.data.samples import Reading, Sample, image_file, skipped_entry
from clipcli.data.tables import parquet
from clipcli.data.tables.table import Table, Unreadable
from clipcli.data.tree import Data, split_zip
from clipcli.files.remote import is_remote
from clipcli.notices import Notices
from clipcli.records import ImageItem, Reference, Skipped

# A function from the path in a row to its image; `None` if there is no such image.
Find = Callable[[str], ImageItem | None]
_ROW_OF_PARQUET = re.compile(r"(.+\.parquet) row ([1-9]\d*)", re.IGNORECASE)
# If none of so many ids names a file, the column does not name images.
_IDS_TRIED = 100


def samples_of(
    table: Table, reading: Reading, *, find: Find, below: tuple[str, ...] = ()
) -> Iterator[Sample | Skipped]:
    """A sample for each row in order; a row without an image is skipped.

    Paths in the table are relative to `below`, the parts of a folder; `find` knows of it. Raises `BadFile` if a column
    is missing, and as the table's `rows`.
    """
    wanted = [reading.image] if reading.target is None else [reading.image, reading.target]
    images, *targets = [found_columns(table.columns, column) for column in wanted]
    ids = id_column(table.columns, reading.image)
    if not all(targets) or not (images or ids):
        raise no_column(table.columns, wanted, table=table.name)
    image = images[0] if images else str(ids)
    kept = kept_columns(table.texts, reading.keep, image=image)

    def samples() -> Iterator[Sample | Skipped]:
        for where, row in table.rows(image, [*itertools.chain(*targets), *kept]):
            if isinstance(row, Unreadable):
                yield skipped_entry(where, row.reason)
                continue
            kept_cells = {name: cell_text(row.get(name)) for name in kept}
            cells = {} if reading.target is None else {reading.target.holds: _together(row, targets[0])}
            yield _sample(where, row.get(image), find, below=below, kept_cells=kept_cells, cells=cells)

    found = samples()
    if not images:
        first = list(itertools.islice(found, _IDS_TRIED))
        if not any(map(_is_there, first)):
            raise no_column(table.columns, wanted, table=table.name)
        yield from first
    yield from found


def find_near(table: str, notices: Notices) -> Find:
    """Finds images beside the table, else from the working folder, else in a usual folder such as `images`.

    A path may have any form that `clipcli classify` writes: it may lead into a zip or a shard, or name a row of a
    Parquet file. If nothing is found, the image is taken to be beside the table.
    """
    folder = os.path.dirname(table)
    files = files_on_disk()
    around = Around(table, files, notices)
    containers: dict[str, Mapping[str, Reference]] = {}

    def inside(place: str) -> Reference | None:
        """The image in a zip, shard or Parquet table that the path leads into."""
        container, name = _container_of(place) or _container_of(place.replace("\\", "/")) or (None, "")
        if container is None:
            return None
        if container not in containers:
            # Each file is listed only once, however many rows lead into it.
            containers[container] = _inside(container)
        return containers[container].get(name)

    def find(path: str) -> ImageItem:
        if is_remote(path):
            reference = inside(path)
            return image_file(path) if reference is None else ImageItem(path, reference)
        for place in dict.fromkeys((os.path.join(folder, path), path)):
            actual = spelt(place, files, notices)
            if actual is not None:
                return ImageItem(place, Reference("file", actual))
            reference = inside(place)
            if reference is not None:
                return ImageItem(path, reference)
        return image_file(around.find(path) or os.path.join(folder, path))

    return find


def _is_there(sample: Sample | Skipped) -> bool:
    """True if the image of a row is not known to be missing."""
    if isinstance(sample, Skipped):
        return False
    where = sample.item.reference
    return where.kind != "file" or is_remote(str(where.path)) or os.path.exists(str(where.path))


def _together(row: Mapping[str, object], columns: Sequence[str]) -> object:
    """The cell of a column, or the list of the cells of several."""
    return row.get(columns[0]) if len(columns) == 1 else [row.get(column) for column in columns]


def _reason_for_no_path(cell: object) -> str:
    """The reason, in a few words, why a cell is no path of an image."""
    return "no image path" if cell is None or (isinstance(cell, str) and not cell.strip()) else "image path is not text"


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
        place, found = where, ImageItem(where, image)
    else:
        path = path_in(image)
        named = None if path is None else find(path)
        place = "/".join((*below, path or ""))
        if named is None:
            reason = _reason_for_no_path(image) if path is None else f"no image {place!r}"
            return skipped_entry(where, reason, cells=kept_cells)
        found = named
    item = replace(found, cells=kept_cells) if kept_cells else found
    # Rows of several DATA about the same image are told by the path, however it is spelt.
    return Sample(item, os.path.normpath(composed(place.replace("\\", "/"))), cells=cells)


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
        return {"/".join(file.parts): file.reference for file in Data(container).walk()}
    if container.lower().endswith(".parquet"):
        return {str(number): cell for number, cell in enumerate(parquet.images_in_cells(container), 1)}
    return tars.images_in(container)
