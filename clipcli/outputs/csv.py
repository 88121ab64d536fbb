"""Writes and reads CSV with a header. Missing values are empty fields; names keep bytes that are not UTF-8.

Several labels, and their scores, are one field each, as `clipcli.classes.joined` has them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from clipcli.classes.joined import join_labels, split_labels
from clipcli.data.tables.formulas import defused_cells, defused_columns, is_safe, original_cells, original_columns
from clipcli.errors import BadFile
from clipcli.outputs.text import close_text, lines_of, open_text, writable
from clipcli.records import Row
from clipcli.scoring.schema import Schema, Value, no_row

if TYPE_CHECKING:
    import _csv

# csv quotes fields that hold a character of its line end, so \r\n makes it quote a lone \r as well.
_END = "\r\n"

# What some programs begin a text file with, as a sign that it is UTF-8.
_MARK = "\ufeff"


class _Lines:
    """A stream for csv that replaces its line ends by `\\n`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix(_END) + "\n")


def csv_writer(stream: TextIO) -> _csv.Writer:
    """A csv writer whose lines end with `\\n`, and whose quoting lets any text be read back."""
    return csv.writer(_Lines(stream), lineterminator=_END)


class CsvWriter:
    """Writes one line per row."""

    def __init__(self, path: str, *, schema: Schema) -> None:
        self._schema = schema
        self._stream = open_text(path, errors="surrogateescape")
        self._csv = csv_writer(self._stream)
        self._columns = [writable(name) for name in schema.columns]
        self._texts = [kind in (str, list[str]) for kind in schema.types]
        self._csv.writerow(defused_columns(self._columns) if schema.spreadsheet_safe else self._columns)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        self._csv.writerows(self._fields(row) for row in rows)
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        close_text(self._stream)

    def _fields(self, row: Row) -> list[object]:
        fields = [_field(value) for value in self._schema.fields(row)]
        if not self._schema.spreadsheet_safe:
            return [*fields]
        return defused_cells(self._columns, fields, texts=self._texts)


def read_rows(path: str, *, cut: bool) -> tuple[Schema, Iterator[Row]] | None:
    """Read a file of `CsvWriter`, as described in `ReadRows`."""
    records = csv.reader(lines_of(path, errors="surrogateescape", cut=cut), strict=True)
    try:
        header = next(records, None)
    except csv.Error:
        header = None
    if header is None:
        return None
    if header and header[0].startswith((_MARK, "path;")):
        raise BadFile(
            f"{path} was saved by another program, as Excel does, with semicolons or a mark at its beginning; clipcli"
            " classify --update reads it so, and writes it as it was"
        )
    safe = is_safe(header)
    schema = replace(Schema.of(original_columns(header) if safe else header, path=path), spreadsheet_safe=safe)
    return schema, _rows(records, schema, path=path, cut=cut, header=header)


def _rows(records: _csv.Reader, schema: Schema, *, path: str, cut: bool, header: list[str]) -> Iterator[Row]:
    types, line = schema.types, records.line_num + 1
    try:
        for record in records:
            where = f"{path} line {line}"
            if schema.spreadsheet_safe:
                record = _original(record, header, where=where)
            values = [_value(text, kind) for text, kind in zip(record, types, strict=False)]
            yield schema.row(values if len(values) == len(record) else record, path=where)
            line = records.line_num + 1
    except csv.Error as e:
        # The file was cut at a line end within a quoted field.
        if not cut:
            raise no_row(f"{path} line {line}", str(e)) from None


def _original(record: list[str], header: list[str], *, where: str) -> list[str]:
    try:
        return original_cells(header, record)
    except ValueError as e:
        raise no_row(where, str(e)) from None


def _field(value: Value) -> str | float:
    if isinstance(value, list):
        value = join_labels([writable(one) if isinstance(one, str) else one for one in value])
    return "" if value is None else writable(value) if isinstance(value, str) else value


def _value(text: str, kind: type) -> Value:
    if kind is str:
        return text
    try:
        if kind is float:
            return float(text) if text else None
        labels = split_labels(text)
        return [float(label) for label in labels] if kind == list[float] else labels
    except ValueError:
        return text
