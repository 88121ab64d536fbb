"""Reads Parquet tables of image paths, or with images in the cells as in Hugging Face. Needs pyarrow."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from clipcli.data.columns import IMAGE, found_columns
from clipcli.data.tables.table import Row, Table
from clipcli.errors import BadFile, MissingExtra, install, one_line
from clipcli.notices import Notices
from clipcli.records import Cell, Reference

_ROWS_AT_ONCE = 10_000


def read(_: BinaryIO, path: str, __: Notices) -> Table:
    """The table at this path. Raises `MissingExtra` without pyarrow, and `BadFile` if it is not Parquet."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra(f"parquet needs pyarrow; run {install('pyarrow')}, or use a .csv or .jsonl")
    with _whole(path):
        schema = _open(path).schema_arrow
    columns = [str(name) for name in schema.names]
    return Table(path, columns, partial(_rows, path), binary=[name for name in columns if _is_binary(schema, name)])


def images_in_cells(path: str) -> list[Reference]:
    """References to the images in the cells of a table, one per row; empty if it has paths. Raises as `read`."""
    with open(path, "rb") as stream:
        columns = read(stream, path, Notices()).columns
    file = _open(path)
    named = [column for name in IMAGE.names for column in found_columns(columns, IMAGE.named(name))]
    image = next((column for column in named if _is_in_cells(file, column)), None)
    groups = range(0 if image is None else file.num_row_groups)
    return [cell for group in groups for cell in _cells(file, group, str(image), path)]


def _rows(path: str, image: str, others: Sequence[str]) -> Iterator[Row]:
    file = _open(path)
    in_cells = _is_in_cells(file, image)
    wanted = [name for name in dict.fromkeys(others) if not (in_cells and name == image)]
    number = 0
    for group in range(file.num_row_groups):
        rows = _records(file, group, wanted if in_cells else [image, *wanted], path)
        references = _cells(file, group, image, path) if in_cells else itertools.repeat(None)
        for row, reference in zip(rows, references, strict=False):
            number += 1
            yield f"{path} row {number}", row if reference is None else row | {image: reference}


def _open(path: str) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


def _is_binary(schema: Any, column: str) -> bool:
    """True if the cells of the column are bytes, or structs with a field `bytes`."""
    import pyarrow as pa

    kind = schema.field(column).type
    return bool(kind.get_field_index("bytes") >= 0) if pa.types.is_struct(kind) else _is_bytes(kind)


def _is_in_cells(file: Any, column: str) -> bool:
    """True if the column holds images rather than paths."""
    import pyarrow as pa

    kind = file.schema_arrow.field(column).type
    return bool(pa.types.is_struct(kind)) or _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _cells(file: Any, group: int, column: str, path: str) -> Iterator[Reference]:
    """References to the cells of a column in one row group."""
    kind = _kind_of_cells(file, group, column)
    for row in range(file.metadata.row_group(group).num_rows):
        yield Reference(kind, path, Cell(group, row, column))


def _kind_of_cells(file: Any, group: int, column: str) -> str:
    """The kind of reference for the cells of a row group: `cell or file` unless all cells are known to hold bytes."""
    parts = file.metadata.row_group(group)
    for n in range(parts.num_columns):
        if parts.column(n).path_in_schema == f"{column}.bytes":
            found = parts.column(n).statistics
            all_there = found is not None and found.has_null_count and found.null_count == 0
            return "cell" if all_there else "cell or file"
    return "cell"


def _records(file: Any, group: int, wanted: Sequence[str], path: str) -> Iterator[dict[str, object]]:
    """The wanted cells of each row of a row group, read in batches to save memory."""
    if not wanted:
        yield from ({} for _ in range(file.metadata.row_group(group).num_rows))
        return
    with _whole(path):
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=list(wanted)):
            yield from batch.to_pylist()


@contextmanager
def _whole(path: str) -> Iterator[None]:
    """Turn pyarrow's errors about a file that is damaged or not Parquet into `BadFile`."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:
        raise BadFile(f"cannot read {path}: {one_line(e)}; check that it is whole") from None
