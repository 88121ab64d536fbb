"""Reads tables of any format: their columns, and their rows as samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from clipcli.data.file_names import suffix_of
from clipcli.data.tables import flickr, json_tables, parquet, separated
from clipcli.data.tables.table import Table
from clipcli.notices import Notices

# Functions from an open file, its name and the notices to a `Table`, by suffix. Parquet files are opened again by name.
TABLES: dict[str, Callable[[BinaryIO, str, Notices], Table]] = {
    ".csv": separated.read_csv,
    ".tsv": separated.read_tsv,
    ".jsonl": json_tables.read_jsonl,
    ".json": json_tables.read_json,
    ".token": flickr.read_txt,
    ".txt": flickr.read_txt,
    ".parquet": parquet.read,
}
# The suffixes of tables that can be read from inside a zip.
TEXT_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".token")
# Those that a folder or a zip may have at its top; a `.json` is the caption file of an image there.
TABLES_AT_THE_TOP = (".csv", ".tsv", ".jsonl")


def read_table(stream: BinaryIO, name: str, notices: Notices) -> Table:
    """The table in the stream; the suffix of `name` gives its format. What is odd is counted while rows are read.

    Raises `BadFile`, with the line, for a table that cannot be parsed, and `MissingExtra` for Parquet without pyarrow.
    """
    return TABLES[suffix_of(name)](stream, name, notices)
