"""Reads labels from a table, as Excel and other programs write it: separated by commas, semicolons or tabs.

The column `label` may be called `class` or `name` too, in any case. There may be `aliases` (split by `;`) and
`description`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from clipcli.classes.labels import LabelledClass, labelled
from clipcli.errors import BadFile

# What separates columns, with its name in messages.
MARKS = {",": "commas", ";": "semicolons", "\t": "tabs"}
LABEL_NAMES = ("label", "class", "name")
_OTHERS = ("aliases", "description")
_NAMED_IN_ERRORS = f"'{LABEL_NAMES[0]}', '{LABEL_NAMES[1]}' or '{LABEL_NAMES[2]}'"


def has_header(text: str) -> bool:
    """True if the first line is the header of a table with two columns or more."""
    first = text.split("\n", 1)[0]
    names = [name.strip().strip('"').lower() for name in first.split(_mark_of(first))]
    return len(names) > 1 and set(names) <= {*LABEL_NAMES, *_OTHERS} and not set(names).isdisjoint(LABEL_NAMES)


def read_table(text: str, path: str) -> Iterator[LabelledClass]:
    """The classes of a table, in order. Raises `BadFile`, with the line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_mark_of(text.split("\n", 1)[0]), strict=True)
    start = 1
    try:
        header = _header(next(reader, []), path)
        start = reader.line_num + 1
        for fields in reader:
            # Excel writes rows of nothing but separators.
            if len(fields) == 1 or any(map(str.strip, fields)):
                yield _class_of(header, fields, where=f"{path} line {start}", line=start)
            start = reader.line_num + 1
    except csv.Error as e:
        raise BadFile(f"{path} line {start}: {e}; is a quote missing?") from None


def _mark_of(header: str) -> str:
    """What separates the columns of a header: a comma if it has one column only."""
    return next((mark for mark in MARKS if mark in header), ",")


def _header(fields: Sequence[str], path: str) -> list[str]:
    """The columns by the names that are used here. Raises `BadFile` if one is unknown, missing or there twice."""
    columns = [field.strip() for field in fields]
    while columns and not columns[-1]:
        columns.pop()
    if not columns:
        raise BadFile(f"{path} line 1: an empty file; begin with the header label[,aliases][,description]")
    lowered = [column.lower() for column in columns]
    label = next((name for name in LABEL_NAMES if name in lowered), None)
    unknown = [column for column, name in zip(columns, lowered, strict=True) if name not in (label, *_OTHERS)]
    if label is None:
        raise BadFile(
            f"{path} line 1: no column {_NAMED_IN_ERRORS}; write a header, or if it holds one label a line,"
            " call the file .txt"
        )
    if unknown:
        raise BadFile(
            f"{path} line 1: unknown column '{unknown[0]}'; the columns are label and, if you like, aliases and"
            " description"
        )
    if len(set(lowered)) < len(lowered):
        raise BadFile(f"{path} line 1: a column stands there twice; keep one of each")
    return ["label" if name == label else name for name in lowered]


def _class_of(header: Sequence[str], fields: Sequence[str], *, where: str, line: int) -> LabelledClass:
    if any(map(str.strip, fields[len(header) :])):
        raise BadFile(f"{where}: {len(fields)} fields for {len(header)} columns; put quotes around a label with commas")
    row = dict(zip(header, fields, strict=False))
    return labelled(
        row.get("label", ""),
        where=where,
        line=line,
        aliases=row.get("aliases", "").split(";"),
        descriptions=[row.get("description", "")],
    )
