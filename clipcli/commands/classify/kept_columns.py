"""The columns of input tables that are kept in the output, for `--keep-columns`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clipcli.data.columns import ALL
from clipcli.records import ImageItem
from clipcli.scoring.schema import Schema
from clipcli.settings import as_texts


def split_columns(texts: Any) -> tuple[str, ...]:
    """Split one or several lists of names at their commas, without duplicates. Raises `TypeError` for anything else."""
    names = (name.strip() for text in as_texts(texts) for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def kept_columns(names: Sequence[str], items: Sequence[ImageItem]) -> tuple[str, ...]:
    """The columns to keep: those with these names, or for `all` every column, in the order of the tables.

    Raises `UsageError` if two would have the same name in the output.
    """
    all_columns = dict.fromkeys(name for item in items for name in item.cells) if ALL in names else ()
    return Schema(kept=tuple(all_columns or names)).kept
