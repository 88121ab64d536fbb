"""CSV with a header; empty fields where there is nothing. A name that is not UTF-8 keeps its bytes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from clipcli.outputs.text import close_text, open_text, whole_lines
from clipcli.records import Row
from clipcli.scoring.schema import check_columns, columns, fields, no_row, row_of

if TYPE_CHECKING:
    import _csv

# csv quotes a field that holds a character of the line's end; a lone \r must be quoted too.
_END = "\r\n"


class _Lines:
    """Takes csv's lines and ends each with a single newline."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix(_END) + "\n")


def csv_writer(stream: TextIO) -> _csv.Writer:
    """A writer of csv whose lines end with a single newline, and which reads back whatever is written."""
    return csv.writer(_Lines(stream), lineterminator=_END)


class CsvWriter:
    """One line a row."""

    def __init__(self, path: str, *, top_k: int) -> None:
        self._top_k = top_k
        self._stream = open_text(path, errors="surrogateescape")
        self._csv = csv_writer(self._stream)
        self._csv.writerow(columns(top_k))

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        self._csv.writerows(["" if f is None else f for f in fields(row, top_k=self._top_k)] for row in rows)
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        close_text(self._stream)


def read_rows(path: str, *, top_k: int) -> Iterator[Row]:
    """The rows that `CsvWriter` wrote, up to the first that is not whole. Raises `BadFile` for other columns."""
    records = csv.reader(whole_lines(path, errors="surrogateescape"), strict=True)
    try:
        for n, record in enumerate(records):
            if n == 0:
                check_columns(record, path=path, top_k=top_k)
            elif len(record) != len(columns(top_k)):
                raise no_row(path)
            else:
                yield row_of(_values(record), path=path)
    except csv.Error:
        # A name with a line end in it was cut there: its quote is open.
        return


def _values(record: Sequence[str]) -> list[str | float | None]:
    image, *ranked = record
    return [image, *(_score(text) if n % 2 else text for n, text in enumerate(ranked))]


def _score(text: str) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text
