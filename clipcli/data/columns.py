"""Finds the columns of images, labels and captions in a table, and turns cells into text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clipcli.errors import BadFile, some_of

ALL = "all"


@dataclass(frozen=True, slots=True)
class Column:
    """A column to look for in a table.

    `holds` is `image`, `label` or `caption`. `names` are the names that it may have; the first that is found counts.
    """

    holds: str
    names: tuple[str, ...]

    def named(self, name: str | None) -> Column:
        """The same column with only this name; unchanged if the name is `None`."""
        return self if name is None else Column(self.holds, (name,))


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that the user gave for a table's columns; a name that is `None` is guessed."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None


IMAGE = Column("image", ("filepath", "file_name", "filename", "image", "image_path", "path", "file"))
CAPTION = Column("caption", ("caption", "captions", "text", "title", "label"))
LABEL = Column("label", ("truth", "label", "class", "class_name", "category", "target"))


def chosen_columns(columns: Iterable[str], wanted: Sequence[Column], *, table: str) -> list[str]:
    """The name of each wanted column among the `columns` of a table. Raises `BadFile` if one is missing."""
    columns = list(columns)
    chosen = [next((name for name in column.names if name in columns), None) for column in wanted]
    missing = [column for column, name in zip(wanted, chosen, strict=True) if name is None]
    if not missing:
        return [name for name in chosen if name is not None]
    problem = " and ".join(f"no {column.holds} column ({some_of(column.names)})" for column in missing)
    which = "the column" if len(wanted) == 1 else "the columns"
    todo = f"name {which} with {' and '.join(f'--{column.holds}-column' for column in wanted)}"
    mark = next((mark for mark in (";", "\t") if len(columns) == 1 and mark in columns[0]), None)
    if mark is not None:
        todo = f"they seem to be separated by {mark!r}: save it with commas, or with tabs as .tsv"
    raise BadFile(f"{table}: {problem} among its columns {some_of(columns)}; {todo}")


def kept_columns(columns: Iterable[str], keep: Sequence[str], *, image: str) -> list[str]:
    """The `columns` to copy to the output: those named in `keep`; with `all`, every one but that of the images."""
    return [name for name in columns if (name != image if ALL in keep else name in keep)]


def cell_text(value: object) -> str | None:
    """A cell as text: JSON for booleans and nested values, `None` for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=cell_text)
    return str(value)
