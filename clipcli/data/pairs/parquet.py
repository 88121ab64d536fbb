"""Parquet tables of pairs: paths of images, or images in the cells as Hugging Face stores them. Needs pyarrow."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from clipcli.data.sources import files
from clipcli.errors import BadFile, MissingExtra
from clipcli.records import ImageItem

_ROWS_AT_ONCE = 10_000
# A row group may hold a hundred images or more: a few of them are kept for the reads that come next.
_ROW_GROUPS_KEPT = 4


def columns(path: str) -> list[str]:
    """The names of the columns. Raises `MissingExtra` without pyarrow and `BadFile` where this is no Parquet."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("parquet needs pyarrow; run pip install 'clipcli[parquet]', or use a .csv or .jsonl")
    with _whole(path):
        return [str(name) for name in _open(path).schema_arrow.names]


def rows(path: str, *, image: str, caption: str) -> Iterator[tuple[str, object, object]]:
    """Where each row stands, its image as a path or as an `ImageItem`, and its caption or captions."""
    import pyarrow as pa

    file, stamp = _open(path), os.stat(path).st_mtime_ns
    kind = file.schema_arrow.field(image).type
    in_cells = pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    wanted = [caption] if in_cells else [image, caption]
    number = 0
    for group in range(file.num_row_groups):
        for position, row in enumerate(_cells(file, group, wanted, path)):
            number += 1
            where = f"{path} row {number}"
            found = ImageItem(where, partial(_read, path, stamp, group, position, image)) if in_cells else row[image]
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


def _read(path: str, stamp: int, group: int, position: int, column: str) -> bytes:
    """The bytes in one cell, or of the file that the cell names."""
    cell = _row_group(path, stamp, group, column)[position].as_py()
    data, name = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(data, bytes):
        return data
    if not isinstance(name, str):
        raise OSError("no image in the cell")
    return files.item(os.path.join(os.path.dirname(path), name)).read()


@lru_cache(maxsize=_ROW_GROUPS_KEPT)
def _row_group(path: str, _stamp: int, group: int, column: str) -> Any:
    """The images of one row group, read anew unless it was among the last few; the stamp is of the file's version."""
    return _open(path).read_row_group(group, columns=[column]).column(column)
