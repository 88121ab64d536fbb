"""Writes and reads JSON Lines, one object per row. Missing values are `null`.

A byte of a name that is not UTF-8 becomes the escape `\\udcXX`, which Python's `os.fsencode` turns back into the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain

from clipcli.outputs.text import close_text, lines_of, open_text
from clipcli.parsed import json_of
from clipcli.records import Row
from clipcli.scoring.schema import Schema, no_row


class JsonlWriter:
    """Writes one line per row."""

    def __init__(self, path: str, *, schema: Schema) -> None:
        self._schema = schema
        self._columns = schema.columns
        # Python writes a lone surrogate as \udcXX, which is JSON's own escape for it.
        self._stream = open_text(path, errors="backslashreplace")

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        for row in rows:
            values = dict(zip(self._columns, self._schema.fields(row), strict=True))
            self._stream.write(json.dumps(values, ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        close_text(self._stream)


def read_rows(path: str, *, cut: bool) -> tuple[Schema, Iterator[Row]] | None:
    """Read a file of `JsonlWriter`, as described in `ReadRows`; the columns are the keys of the first row."""
    objects = _objects(path, cut=cut)
    first = next(objects, None)
    if first is None:
        return None
    schema = Schema.of(list(first), path=path)
    return schema, _rows(first, objects, schema, path=path)


def _rows(first: dict[str, object], others: Iterator[dict[str, object]], schema: Schema, *, path: str) -> Iterator[Row]:
    columns = schema.columns
    for line, values in enumerate(chain([first], others), 1):
        where = f"{path} line {line}"
        if tuple(values) != columns:
            raise no_row(where, f"it has the names {', '.join(values)}, and the first line {', '.join(columns)}")
        yield schema.row(list(values.values()), path=where)


def _objects(path: str, *, cut: bool) -> Iterator[dict[str, object]]:
    for number, line in enumerate(lines_of(path, errors="backslashreplace", cut=cut), 1):
        try:
            values = json_of(line)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise no_row(f"{path} line {number}", "it is no object of JSON")
        yield values
