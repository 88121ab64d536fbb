"""The `Table`: the name, the columns and the rows of an open table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row whose cells cannot be told apart, with the reason in a few words."""

    reason: str


Row = tuple[str, Mapping[str, object] | Unreadable]


@dataclass(frozen=True, slots=True)
class Table:
    """An open table.

    `rows(image, others)` reads the rows once, with at least the cells of the column `image` and the columns `others`. A
    row is its location, as in `t.csv line 3`, and its cells by column. Where images are stored in the cells, the cell
    is a `Reference`, and the image is not read. What is odd in a table is counted while its rows are read, not when it
    is opened. `binary` are the columns that hold bytes. `spreadsheet_safe` says that the file was written so, as
    `formulas` says; the columns and rows are those before that.
    """

    name: str
    columns: Sequence[str]
    rows: Callable[[str, Sequence[str]], Iterator[Row]]
    binary: Sequence[str] = ()
    spreadsheet_safe: bool = False

    @property
    def texts(self) -> list[str]:
        """The columns that can be kept as text: all that hold no bytes."""
        return [name for name in self.columns if name not in self.binary]
