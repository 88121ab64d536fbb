"""Defuses what a spreadsheet would take for a formula in CSV, for `--spreadsheet-safe`, and reads it back.

A text that begins with `=`, `+`, `-`, `@`, a tab or a line end gets an apostrophe before it, and so does such a
character after a `;`, a tab or a line end, where some spreadsheets split fields. The last column,
`apostrophe_before`, names the columns of the row in which that was done, so that the text itself is known again. Names
of columns are defused likewise; all of those in a file with that column are read back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clipcli.classes.joined import join_labels, split_labels

COLUMN = "apostrophe_before"
# Also the full-width forms, which are formulas where they are typed.
_FORMULA = r"[=+\-@\t\r\n＝＋－＠]"
_TEXT = re.compile(rf"(^|[;\t\r\n])('*)(?={_FORMULA})")
_DEFUSED = re.compile(rf"(^|[;\t\r\n])'('*)(?={_FORMULA})")


def defused_columns(columns: Sequence[str]) -> list[str]:
    """The names of columns as a safe file has them, with its own at the end."""
    return [*map(_defused, columns), COLUMN]


def defused_cells(columns: Sequence[str], cells: Sequence[object], *, texts: Sequence[bool]) -> list[object]:
    """The cells of a row as a safe file has them. `texts` tells which of them hold text; numbers are left alone."""
    written: list[object] = []
    changed: list[str] = []
    for column, cell, is_text in zip(columns, cells, texts, strict=True):
        found = _defused(cell) if is_text and isinstance(cell, str) else cell
        written.append(found)
        if found != cell:
            changed.append(_defused(column))
    return [*written, join_labels(changed) if changed else ""]


def is_safe(columns: Sequence[str]) -> bool:
    """True if a file with these columns was written so."""
    return len(columns) > 1 and columns[-1] == COLUMN


def original_columns(columns: Sequence[str]) -> list[str]:
    """The names of the columns of a safe file, without its own."""
    return [_original(column) for column in columns[:-1]]


def original_cells(columns: Sequence[str], cells: Sequence[str]) -> list[str]:
    """The cells of a row of a safe file with these columns as it has them, without the last.

    Raises `ValueError` if the last names something else than columns. A row without it is left as it is.
    """
    if len(cells) < len(columns):
        return list(cells)
    changed = set(split_labels(cells[len(columns) - 1]))
    if not changed <= set(columns[:-1]):
        raise ValueError(f"{COLUMN} names no columns")
    named = zip(columns[:-1], cells, strict=False)
    return [_original(cell) if column in changed else cell for column, cell in named] + list(cells[len(columns) :])


def original_records(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """The records of a file with its header first, as they were before they were defused, if they were."""
    header = next(records, None)
    if header is None:
        return
    safe = is_safe(header)
    yield original_columns(header) if safe else header
    for record in records:
        yield original_cells(header, record) if safe and record else record


def _defused(text: str) -> str:
    return _TEXT.sub(r"\1'\2", text)


def _original(text: str) -> str:
    return _DEFUSED.sub(r"\1\2", text)
