"""Parquet tables of pairs: paths of images, or images in the cells as Hugging Face stores them. Needs pyarrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clipcli.errors import BadFile, MissingExtra
from clipcli.records import Cell, ImageItem, Reference

_ROWS_AT_ONCE = 10_000


def columns(path: str) -> list[str]:
    """The names of the columns. Raises `MissingExtra` without pyarrow and `BadFile` where this is no Parquet."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("parquet needs pyarrow; run pip install 'clipcli[parquet]', or use a .csv or .jsonl")
    with _whole(path):
        return [str(name) for name in _open(path).schema_arrow.names]


def rows(path: str, *, image: str, caption: str) -> Iterator[tuple[str, object, object]]:
    """Where each row stands, its image as a path or as an `ImageItem`, and its caption or captions."""
    import pyarrow as pa

    file = _open(path)
    kind = file.schema_arrow.field(image).type
    in_cells = pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    wanted = [caption] if in_cells else [image, caption]
    kinds = [_kind_of_cells(file, group, image) for group in range(file.num_row_groups)]
    number = 0
    for group in range(file.num_row_groups):
        for position, row in enumerate(_cells(file, group, wanted, path)):
            number += 1
            where = f"{path} row {number}"
            found = (
                ImageItem(where, Reference(kinds[group], path, Cell(group, position, image)))
                if in_cells
                else row[image]
            )
            yield where, found, row[caption]


def _open(path: str) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


def _cells(file: Any, group: int, wanted: list[str], path: str) -> Iterator[dict[str, object]]:
    """The rows of one row group, a piece of it in memory at a time."""
    with _whole(path):
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=wanted):
            yield from batch.to_pylist()


@contextmanager
def _whole(path: str) -> Iterator[None]:
    """Make a `BadFile` of what pyarrow raises on a file that is damaged, or is no Parquet at all."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:
        raise BadFile(f"cannot read {path}: {' '.join(str(e).split())}; check that it is whole") from None


def _kind_of_cells(file: Any, group: int, column: str) -> str:
    """The kind of references to the cells of a row group: cells that hold no bytes may name a file instead."""
    parts = file.metadata.row_group(group)
    for n in range(parts.num_columns):
        if parts.column(n).path_in_schema == f"{column}.bytes":
            found = parts.column(n).statistics
            all_there = found is not None and found.has_null_count and found.null_count == 0
            return "cell" if all_there else "cell or file"
    return "cell"
