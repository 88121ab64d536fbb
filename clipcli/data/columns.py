"""Finds the columns of images, labels and captions in a table, and turns cells into text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clipcli.data.file_names import is_image_name
from clipcli.errors import BadFile, some_of

ALL = "all"


@dataclass(frozen=True, slots=True)
class Column:
    """A column to look for in a table.

    `holds` is `image`, `label` or `caption`. `names` are the names that it may have, in any case; the first that is
    found counts. Those in `numbered` may be several columns, as in `caption_1` and `caption_2`. A column of `ids` is
    taken if there is no other and its cells name files.
    """

    holds: str
    names: tuple[str, ...]
    numbered: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def named(self, name: str | None) -> Column:
        """The same column with only this name; unchanged if the name is `None`."""
        return self if name is None else Column(self.holds, (name,))


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that the user gave for a table's columns; a name that is `None` is guessed."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None


IMAGE = Column(
    "image",
    ("filepath", "file_name", "filename", "image", "image_path", "path", "file", "image_name"),
    ids=("image_id", "id_code", "id"),
)
CAPTION = Column(
    "caption",
    ("caption", "captions", "text", "title", "label", "comment"),
    numbered=("caption", "text", "comment"),
)
LABEL = Column("label", ("truth", "label", "class", "class_name", "category", "target"))


def found_columns(columns: Sequence[str], wanted: Column) -> list[str]:
    """The column that is wanted among the `columns` of a table, all of them if they are numbered; empty if none is."""
    for name in wanted.names:
        first = _named(columns, [name])
        numbered = re.compile(rf"{name}s?[_.]?\d+") if name in wanted.numbered else None
        found = [one for one in columns if one == first or (numbered and numbered.fullmatch(_key(one)))]
        if found:
            return found
    return []


def id_column(columns: Sequence[str], wanted: Column) -> str | None:
    """The column of ids, where there is no other column that is wanted."""
    return None if found_columns(columns, wanted) else _named(columns, wanted.ids)


def no_column(columns: Sequence[str], wanted: Sequence[Column], *, table: str) -> BadFile:
    """The error for a table without some of the columns that are wanted."""
    missing = [column for column in wanted if not found_columns(columns, column)]
    problem = " and ".join(f"no {column.holds} column ({some_of(column.names)})" for column in missing)
    which = "the column" if len(wanted) == 1 else "the columns"
    todo = f"name {which} with {' and '.join(f'--{column.holds}-column' for column in wanted)}"
    mark = next((mark for mark in (";", "\t") if len(columns) == 1 and mark in columns[0]), None)
    if mark is not None:
        todo = f"they seem to be separated by {mark!r}: save it with commas, or with tabs as .tsv"
    elif any(column.holds == LABEL.holds for column in wanted) and "labels" in columns:
        todo = f"{todo}; several labels an image need --multi-label, which clipcli evaluate and calibrate have"
    elif any(map(is_image_name, columns)):
        todo = "its first line seems to be a row: put a line with the names of the columns above it"
    return BadFile(f"{table}: {problem} among its columns {some_of(columns)}; {todo}")


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


def whole_number(cell: object) -> object:
    """The cell, as an integer where it is a float without a fraction: others write a column with gaps as 1.0, 2.0."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def path_in(cell: object) -> str | None:
    """The path or the id in a cell: text, or a whole number; `None` if it is neither, or blank."""
    cell = whole_number(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    return cell if isinstance(cell, str) and cell.strip() and "\0" not in cell else None


def _named(columns: Sequence[str], names: Iterable[str]) -> str | None:
    """The first of the names that is a column, as it is written or else in any case."""
    by_key = {_key(column): column for column in reversed(columns)}
    return next((name if name in columns else by_key[_key(name)] for name in names if _key(name) in by_key), None)


def _key(column: str) -> str:
    return column.strip().casefold().replace(" ", "_").replace("-", "_")
