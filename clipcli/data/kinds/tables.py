"""A table whose rows name images: `.csv`, `.tsv`, `.jsonl` or `.parquet`, or a table of text inside a zip."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.samples import Reading, Sample
from clipcli.data.suffixes import suffix_of
from clipcli.data.tables import TABLES, TEXT_TABLES, in_tree, read_table
from clipcli.data.tables.rows import beside, looked_up, samples_of
from clipcli.data.tree import Data, split_zip
from clipcli.errors import InputNotFound
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True where this is a file with the suffix of a table, by itself or in a zip."""
    if split_zip(data.text) is not None:
        return suffix_of(data.text) in TEXT_TABLES and data.is_one_file
    return suffix_of(data.text) in TABLES and os.path.isfile(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """A sample for each row in order, or why it names no image.

    Raises `BadFile`, with the line, for a table that cannot be understood, `InputNotFound`, and `MissingExtra`.
    """
    if split_zip(data.text) is not None:
        around = Data(os.path.dirname(data.text)).files
        yield from in_tree.samples_in(data.files, around, reading)
        return
    find = looked_up(data.text) if reading.look_up else beside(data.text)
    try:
        with open(data.text, "rb") as stream:
            yield from samples_of(read_table(stream, data.text), reading, find=find)
    except OSError as e:
        raise InputNotFound(f"cannot read {data.text}: {e.strerror or e}; check the file") from None


def columns_of(data: Data) -> list[str]:
    """The columns of the table whose cells can be carried through as text. Raises as `samples`."""
    if split_zip(data.text) is not None:
        return in_tree.open_table(data.files[0]).texts
    with open(data.text, "rb") as stream:
        return read_table(stream, data.text).texts
