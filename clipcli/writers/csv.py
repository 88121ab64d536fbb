"""CSV with a header; empty fields where there is nothing. A name that is not UTF-8 keeps its bytes."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from clipcli.types import Row
from clipcli.writers.fields import columns, fields
from clipcli.writers.text import close_text, open_text


class CsvWriter:
    """One line a row."""

    def __init__(self, path: str, *, top_k: int) -> None:
        self._top_k = top_k
        self._stream = open_text(path, errors="surrogateescape")
        self._csv = csv.writer(self._stream, lineterminator="\n")
        self._csv.writerow(columns(top_k))

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        self._csv.writerows(["" if f is None else f for f in fields(row, top_k=self._top_k)] for row in rows)
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        close_text(self._stream)
