"""Which columns of the inputs' tables are kept: those asked for, or all there are."""

from __future__ import annotations

from collections.abc import Sequence

from clipcli.errors import UsageError, unknown
from clipcli.records import ImageItem
from clipcli.scoring.schema import Schema

ALL = "all"


def split_columns(asked: str | Sequence[str]) -> tuple[str, ...]:
    """The names in a text that splits them by commas, or in a sequence, each once."""
    names = asked.split(",") if isinstance(asked, str) else asked
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def kept_columns(asked: Sequence[str], items: Sequence[ImageItem]) -> tuple[str, ...]:
    """The columns to keep, in the order asked for, or for `all` in that of the tables.

    Raises `UnknownName` for one that no table has, and `UsageError` where there is none, or two would be called alike.
    """
    if not asked:
        return ()
    there = dict.fromkeys(name for item in items for name in item.cells)
    kept = tuple(there) if tuple(asked) == (ALL,) else tuple(asked)
    if kept and not there:
        raise UsageError("--keep-columns is for inputs that are tables with other columns; leave it out")
    for name in kept:
        if name not in there:
            raise unknown("column", name, there)
    return Schema(kept=kept).kept
