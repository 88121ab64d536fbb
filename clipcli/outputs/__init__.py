"""Writes rows in CSV, JSON Lines or Parquet, reads them back, and resumes interrupted runs.

Rows are written to a hidden file beside the target, which is moved into place at the end. So the target is always
complete: it has all rows, or after an interruption all rows so far. Devices and pipes are written directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clipcli.outputs import csv, jsonl, parquet
from clipcli.records import Row
from clipcli.scoring.schema import Schema

STDOUT = "-"


class Writer(Protocol):
    """Writes rows of one format; when `write` returns, its rows are flushed to the file."""

    def __init__(self, path: str, *, schema: Schema) -> None: ...

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


class ReadRows(Protocol):
    """Reads a file of one format: its schema and its rows; `None` if the file ends before the columns are complete.

    With `cut`, the file may end in the middle of a row, as a killed run leaves it, and the rows before are returned;
    without it an incomplete row is an error. Raises `OSError`, and `BadFile` for a file that is no such output.
    """

    def __call__(self, path: str, *, cut: bool) -> tuple[Schema, Iterator[Row]] | None: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One output format.

    `starts` are the bytes that files of this format begin with, and no others; empty for CSV, which has none.
    `can_stream` says that standard output, devices and pipes can be written. `finish(written, output)` converts the
    file of the writer to the output, if they differ. `needs` is the package that the writer imports.
    """

    writer: type[Writer]
    read_rows: ReadRows
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...] = ()
    can_stream: bool = True
    finish: Callable[[Path, Path], None] | None = None
    needs: str | None = None


WRITERS: dict[str, Format] = {
    "csv": Format(csv.CsvWriter, csv.read_rows, (".csv",)),
    "jsonl": Format(jsonl.JsonlWriter, jsonl.read_rows, (".jsonl", ".ndjson"), starts=(b"{",)),
    "parquet": Format(
        parquet.ParquetWriter,
        parquet.read_rows,
        (".parquet",),
        starts=(parquet.MAGIC, parquet.STREAM),
        can_stream=False,
        finish=parquet.to_parquet,
        needs="pyarrow",
    ),
}
