"""Reads tables of text: `.csv`, `.tsv` and `.jsonl`."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from typing import BinaryIO

from clipcli.data.captions import is_utf8
from clipcli.data.tables.table import Row, Table
from clipcli.errors import BadFile

# Lines of JSON may have different keys: the columns are the keys of this many lines together.
_LINES_FOR_COLUMNS = 100


def read_csv(stream: BinaryIO, name: str) -> Table:
    """A table separated by commas. Raises `BadFile`, with the line, if it cannot be parsed."""
    return _separated(stream, name, ",")


def read_tsv(stream: BinaryIO, name: str) -> Table:
    """A table separated by tabs. Raises `BadFile`, with the line, if it cannot be parsed."""
    return _separated(stream, name, "\t")


def read_jsonl(stream: BinaryIO, name: str) -> Table:
    """A table of one JSON object per line. Raises `BadFile`, with the line, if it cannot be parsed."""
    records = _objects(stream, name)
    head = list(itertools.islice(records, _LINES_FOR_COLUMNS))
    if not head:
        raise BadFile(f"{name} line 1: an empty table; write one JSON object a line")
    columns = list(dict.fromkeys(itertools.chain.from_iterable(record for _, record in head)))
    return Table(name, columns, lambda _image, _others: itertools.chain(head, records))


def _separated(stream: BinaryIO, name: str, delimiter: str) -> Table:
    records = _fields(stream, name, delimiter)
    _, header = next(records, ("", []))
    columns = [column.strip() for column in header]
    if not any(columns):
        raise BadFile(f"{name} line 1: an empty table; begin with the names of its columns")
    if not all(map(is_utf8, columns)):
        raise BadFile(f"{name} line 1: not UTF-8; save the table as UTF-8")
    return Table(name, columns, lambda _image, _others: _as_records(columns, records))


def _fields(stream: BinaryIO, name: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """The location and the fields of each row that is not blank."""
    reader = csv.reader(_lines(stream), delimiter=delimiter, strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield f"{name} line {start}", fields
            start = reader.line_num + 1
    except csv.Error as e:
        raise BadFile(f"{name} line {start}: {e}; is a quote missing?") from None


def _lines(stream: BinaryIO) -> Iterator[str]:
    """The lines with their ends; bytes that are not UTF-8 become surrogates, as in file names."""
    for number, line in enumerate(stream):
        yield line.decode("utf-8" if number else "utf-8-sig", "surrogateescape")


def _as_records(columns: list[str], rows: Iterator[tuple[str, list[str]]]) -> Iterator[Row]:
    for where, fields in rows:
        if len(fields) > len(columns):
            raise BadFile(
                f"{where}: {len(fields)} fields for {len(columns)} columns; put quotes around a caption with separators"
            )
        yield where, dict(zip(columns, fields, strict=False))


def _objects(stream: BinaryIO, name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(stream), 1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as e:
            reason = e.msg if isinstance(e, json.JSONDecodeError) else "it cannot be read"
            raise BadFile(f"{where}: not JSON: {reason}; write one JSON object a line") from None
        if not isinstance(record, dict):
            raise BadFile(f"{where}: not a JSON object; write one JSON object a line")
        yield where, record
