"""Columns of a table: which of them holds images, labels or captions, and what their cells are as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clipcli.errors import BadFile, some_of

ALL = "all"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it holds, as in `caption`, and the names that it may have, the likeliest first."""

    holds: str
    names: tuple[str, ...]

    def called(self, name: str | None) -> Column:
        """The column of this name, or where there is none itself."""
        return self if name is None else Column(self.holds, (name,))


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a table's columns that the user gave; `None` where that is to be guessed."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None


IMAGE = Column("image", ("filepath", "file_name", "filename", "image", "image_path", "path", "file"))
CAPTION = Column("caption", ("caption", "captions", "text", "title", "label"))
LABEL = Column("label", ("truth", "label", "class", "class_name", "category", "target"))


def chosen_columns(there: Iterable[str], wanted: Sequence[Column], *, table: str) -> list[str]:
    """The name of each wanted column: the likeliest of those that are there. Raises `BadFile` where one is missing."""
    there = list(there)
    chosen = [next((name for name in column.names if name in there), None) for column in wanted]
    missing = [column for column, name in zip(wanted, chosen, strict=True) if name is None]
    if not missing:
        return [name for name in chosen if name is not None]
    told = " and ".join(f"no {column.holds} column ({some_of(column.names)})" for column in missing)
    columns = "the column" if len(wanted) == 1 else "the columns"
    todo = f"name {columns} with {' and '.join(f'--{column.holds}-column' for column in wanted)}"
    mark = next((mark for mark in (";", "\t") if len(there) == 1 and mark in there[0]), None)
    if mark is not None:
        todo = f"they seem to be separated by {mark!r}: save it with commas, or with tabs as .tsv"
    raise BadFile(f"{table}: {told} among its columns {some_of(there)}; {todo}")


def kept_columns(there: Iterable[str], keep: Sequence[str], *, image: str) -> list[str]:
    """The columns of a table to carry through: all but that of images, or those named in `keep` that are there."""
    return [name for name in there if (name != image if ALL in keep else name in keep)]


def cell_text(value: object) -> str | None:
    """A cell as text: JSON for nested values; `None` for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=cell_text)
    return str(value)
