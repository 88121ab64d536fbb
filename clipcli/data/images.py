"""Images to label: whatever names images, as one ordered list of `ImageItem`.

The order is the order of the inputs, and within a folder, a zip or a glob the code-point order of the paths' parts: the
same on every machine and in every locale. A shard keeps its own order, and so does a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TextIO

from clipcli.data.columns import ALL, IMAGE
from clipcli.data.kinds import KINDS, TREES, kind_of, tables
from clipcli.data.samples import Reading
from clipcli.data.suffixes import IMAGE_SUFFIXES
from clipcli.data.tables import in_tree
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound, UsageError, some_of
from clipcli.records import ImageItem, Skipped


def list_images(
    inputs: Sequence[str], *, stdin: TextIO | None = None, image_column: str | None = None, keep: Sequence[str] = ()
) -> list[ImageItem]:
    """All images that `inputs` name, in order; `-` stands for a list of paths on `stdin`.

    Of tables the images are in the column `image_column`, or in one that is guessed; each of their rows is an item. The
    columns named in `keep`, or with `("all",)` all others, go along in the items' `cells`.

    Raises `InputNotFound` for an input that is not there, and where one holds no image; `BadFile` for a table that
    cannot be understood; `UsageError` where no table has a column of `keep`. What a list or a table names is not
    checked here: a missing file becomes a row with its reason.
    """
    if not inputs:
        raise InputNotFound("no inputs were given; give images, folders, globs or lists")
    given = [(data, _kind(data)) for data in map(Data, inputs)]
    if keep:
        _check_keep(keep, given)
    reading = Reading(IMAGE.called(image_column), keep=tuple(keep), stdin=stdin)
    items: list[ImageItem] = []
    for data, kind in given:
        before = len(items)
        items += _items(data, kind, reading)
        if len(items) == before:
            looked = "it has no rows" if kind == "table" else f"looked for {', '.join(sorted(IMAGE_SUFFIXES))}"
            raise InputNotFound(f"no images in {data.text}; {looked}")
    return items


def _kind(data: Data) -> str:
    kind = kind_of(data)
    if kind is None:
        raise InputNotFound(f"no such image, folder or list: {data.text}; check the path")
    return kind


def _items(data: Data, kind: str, reading: Reading) -> Iterator[ImageItem]:
    cells = _cells_in_metadata(data, reading) if reading.keep and kind in TREES else {}
    # What names no image is an item that says why when it is read.
    items = (sample.item for sample in KINDS[kind].samples(data, reading))
    return (replace(item, cells=cells[item.id]) if item.id in cells else item for item in items) if cells else items


def _cells_in_metadata(data: Data, reading: Reading) -> Mapping[str, Mapping[str, str | None]]:
    """The cells of each image that metadata names, by its id; of several rows the first counts."""
    cells: dict[str, Mapping[str, str | None]] = {}
    in_metadata = replace(reading, image=in_tree.FILE_NAME) if reading.image == IMAGE else reading
    for sample in in_tree.samples_in(in_tree.metadata_in(data), data.files, in_metadata):
        if not isinstance(sample, Skipped):
            cells.setdefault(sample.item.id, sample.item.cells)
    return cells


def _check_keep(keep: Sequence[str], given: Sequence[tuple[Data, str]]) -> None:
    """Raise `UsageError` for a column that no table has."""
    columns = list(dict.fromkeys(column for data, kind in given for column in _columns(data, kind)))
    missing = [name for name in keep if name not in columns and (name != ALL or not columns)]
    if missing:
        there = f"its columns are {some_of(columns)}" if columns else "there is no table among the inputs"
        raise UsageError(f"no table has a column {some_of(missing)}; {there}")


def _columns(data: Data, kind: str) -> list[str]:
    if kind == "table":
        return tables.columns_of(data)
    files = in_tree.metadata_in(data) if kind in TREES else []
    return [column for file in files for column in in_tree.open_table(file).texts]
