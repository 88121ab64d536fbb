"""Tables: their columns and rows, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from clipcli.data.suffixes import suffix_of
from clipcli.data.tables import parquet, text
from clipcli.data.tables.table import Table

# By suffix: from an open table and its name to its columns and rows. Parquet files are opened anew, by their names.
TABLES: dict[str, Callable[[BinaryIO, str], Table]] = {
    ".csv": text.read_csv,
    ".tsv": text.read_tsv,
    ".jsonl": text.read_jsonl,
    ".parquet": parquet.read,
}
# Those that can be read from inside a zip.
TEXT_TABLES = (".csv", ".tsv", ".jsonl")


def read_table(stream: BinaryIO, name: str) -> Table:
    """The table of this name. Raises `BadFile`, with the line, and `MissingExtra`."""
    return TABLES[suffix_of(name)](stream, name)
