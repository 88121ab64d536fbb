"""A table that was opened: the names of its columns, and its rows as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Row = tuple[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, its columns, and a function from the column of images and other columns to its rows.

    A row is where it stands, as in `t.csv line 3`, and its cells by column: at least those asked for that are there. An
    image that lies in its cell is not read: the cell is a `Reference` to it. `binary` are the columns that hold bytes.
    """

    name: str
    columns: Sequence[str]
    rows: Callable[[str, Sequence[str]], Iterator[Row]]
    binary: Sequence[str] = ()

    @property
    def texts(self) -> list[str]:
        """The columns whose cells can be carried through as text."""
        return [name for name in self.columns if name not in self.binary]
