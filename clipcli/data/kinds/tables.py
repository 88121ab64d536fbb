"""A table with an image per row: a `.csv`, `.tsv`, `.json` or `.jsonl`, also in a zip, or a `.parquet`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.file_names import suffix_of
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import TABLES, TEXT_TABLES, flickr, in_tree, read_table
from clipcli.data.tables.rows import find_near, samples_of
from clipcli.data.tree import Data, split_zip
from clipcli.errors import InputNotFound
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True for a file with the suffix of a table, or a text table in a zip; a `.txt` must begin as a table does."""
    suffix = suffix_of(data.text)
    if split_zip(data.text) is not None:
        return suffix in TEXT_TABLES and data.is_one_file
    if suffix not in TABLES or not os.path.isfile(data.text):
        return False
    return suffix != ".txt" or _is_table(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """A sample for each row in order; a row without an image is skipped.

    Raises `BadFile`, with the line, for a table that cannot be parsed or lacks a column, `InputNotFound` for one that
    cannot be read, and `MissingExtra` for Parquet without pyarrow.
    """
    if split_zip(data.text) is not None:
        around = Data(os.path.dirname(data.text)).files
        yield from in_tree.samples_in(data.files, around, reading, notices=data.notices)
        return
    try:
        with open(data.text, "rb") as stream:
            table = read_table(stream, data.text, data.notices)
            yield from samples_of(table, reading, find=find_near(data.text, data.notices))
    except OSError as e:
        raise InputNotFound(f"cannot read {data.text}: {e.strerror or e}; check the file") from None


def columns_of(data: Data) -> list[str]:
    """The columns of the table that can be kept as text. Raises as `samples`, and `OSError`."""
    if split_zip(data.text) is not None:
        return in_tree.open_table(data.files[0], data.notices).texts
    with open(data.text, "rb") as stream:
        return read_table(stream, data.text, data.notices).texts


def _is_table(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return flickr.is_table(stream)
    except OSError:
        return False
