"""Which columns of the inputs' tables are kept: those asked for, or all there are."""

from __future__ import annotations

from collections.abc import Sequence

from clipcli.data.columns import ALL
from clipcli.records import ImageItem
from clipcli.scoring.schema import Schema


def split_columns(asked: str | Sequence[str]) -> tuple[str, ...]:
    """The names in a text, or in several, that splits them by commas: each once."""
    texts = [asked] if isinstance(asked, str) else asked
    names = (name for text in texts for name in text.split(","))
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def kept_columns(asked: Sequence[str], items: Sequence[ImageItem]) -> tuple[str, ...]:
    """The columns to keep, in the order asked for, or for `all` in that of the tables.

    Raises `UsageError` where two would be called alike.
    """
    there = dict.fromkeys(name for item in items for name in item.cells) if ALL in asked else ()
    return Schema(kept=tuple(there or asked)).kept
