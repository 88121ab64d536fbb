"""CSV with a header; empty fields where there is nothing. A name that is not UTF-8 keeps its bytes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from clipcli.types import Row
from clipcli.writers.fields import columns, fields
from clipcli.writers.text import close_text, open_text

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
