"""Outputs: rows to a file or to standard output, one small class per format.

Rows are written beside the target and moved into place at the end, so the target is always whole: all rows, or,
after an interruption, all rows so far. What is not a plain file, such as `/dev/null` or a pipe, is written directly.
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
    """Takes rows batch by batch; after `write` returns, the batch is out of our hands."""

    def __init__(self, path: str, *, schema: Schema) -> None: ...

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


class ReadRows(Protocol):
    """Reads what the writer wrote: its schema and its rows, or `None` where not even the columns are whole in it.

    Of a file that may be `cut`, as a run that was killed leaves it, the rows up to the first that is not whole are
    given. Raises `OSError`, and `BadFile` for what is no such output; without `cut`, for rows that are not whole too.
    """

    def __call__(self, path: str, *, cut: bool) -> tuple[Schema, Iterator[Row]] | None: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One output format; a stream is standard output, a device or a pipe, which is no file one can go back in.

    `starts` are the bytes that a file of this format, and of no other, begins with; empty for the one format whose
    files begin with whatever they hold. `finish` makes the output of a file that the writer has closed, where that is
    not the output itself. `needs` names the module, and the extra of clipcli, without which there is no such writer.
    """

    writer: type[Writer]
    read_rows: ReadRows
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...] = ()
    can_stream: bool = True
    finish: Callable[[Path, Path], None] | None = None
    needs: tuple[str, str] | None = None


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
        needs=("pyarrow", "parquet"),
    ),
}
