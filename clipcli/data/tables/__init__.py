"""Reads tables of any format: their columns, and their rows as samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from clipcli.data.file_names import suffix_of
from clipcli.data.tables import parquet, text
from clipcli.data.tables.table import Table

# Functions from an open file and its name to a `Table`, by suffix. Parquet files are opened again by name.
TABLES: dict[str, Callable[[BinaryIO, str], Table]] = {
    ".csv": text.read_csv,
    ".tsv": text.read_tsv,
    ".jsonl": text.read_jsonl,
    ".parquet": parquet.read,
}
# The suffixes of tables that can be read from inside a zip.
TEXT_TABLES = (".csv", ".tsv", ".jsonl")


def read_table(stream: BinaryIO, name: str) -> Table:
    """The table in the stream; the suffix of `name` gives its format.

    Raises `BadFile`, with the line, for a table that cannot be parsed, and `MissingExtra` for Parquet without pyarrow.
    """
    return TABLES[suffix_of(name)](stream, name)
