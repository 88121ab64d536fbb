"""JSON Lines: an object a row, `null` where there is nothing.

A byte of a name that is not UTF-8 becomes the escape `\\udcXX`, which Python's `os.fsencode` turns back into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from clipcli.outputs.text import close_text, open_text, whole_lines
from clipcli.records import Row
from clipcli.scoring.schema import check_columns, columns, fields, no_row, row_of


class JsonlWriter:
    """One line a row."""

    def __init__(self, path: str, *, top_k: int) -> None:
        self._top_k = top_k
        self._columns = columns(top_k)
        # Python writes a lone surrogate as \udcXX, which is JSON's own escape for it.
        self._stream = open_text(path, errors="backslashreplace")

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        for row in rows:
            values = dict(zip(self._columns, fields(row, top_k=self._top_k), strict=True))
            self._stream.write(json.dumps(values, ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        close_text(self._stream)


def read_rows(path: str, *, top_k: int) -> Iterator[Row]:
    """The rows that `JsonlWriter` wrote, up to the first that is not whole. Raises `BadFile` for other columns."""
    for line in whole_lines(path, errors="backslashreplace"):
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise no_row(path)
        check_columns(list(values), path=path, top_k=top_k)
        yield row_of(list(values.values()), path=path)
