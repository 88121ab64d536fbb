"""Reads tables inside a folder or a zip, such as the metadata of a Hugging Face imagefolder."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence

from clipcli.data.columns import CAPTION, Column
from clipcli.data.file_names import suffix_of
from clipcli.data.reference import read
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import TEXT_TABLES, read_table
from clipcli.data.tables.rows import samples_of
from clipcli.data.tables.table import Table
from clipcli.data.tree import Data, TreeFile
from clipcli.errors import BadFile
from clipcli.records import Skipped

METADATA = ("metadata.csv", "metadata.jsonl")
# The columns of images and captions in metadata files.
FILE_NAME = Column("image", ("file_name",))
TEXT = Column("caption", ("text", *CAPTION.names))


def metadata_in(data: Data) -> list[TreeFile]:
    """The metadata files of a tree, at whatever depth."""
    return [file for file in data.files if file.parts[-1] in METADATA]


def table_of(data: Data) -> TreeFile | None:
    """The table of labels at the top of a tree; `None` if there are several, or two or more folders of images."""
    tables = [file for file in data.files if len(file.parts) == 1 and suffix_of(file.id) in TEXT_TABLES]
    if len(tables) != 1 or not data.images:
        return None
    folders = {image.parts[0] for image in data.images if len(image.parts) > 1}
    return tables[0] if len(folders) < 2 else None


def samples_in(tables: Sequence[TreeFile], files: Sequence[TreeFile], reading: Reading) -> Iterator[Sample | Skipped]:
    """The samples of all rows of these tables; their paths are relative to the folder of each table.

    `files` are those of the tree, in which the paths are looked up. Raises `BadFile`, with the line, for a table that
    cannot be parsed or lacks a column.
    """
    by_path = {"/".join(file.parts): file.item for file in files}
    for table in tables:
        found = open_table(table)
        yield from samples_of(
            found, reading, find=lambda path: by_path.get(os.path.normpath(path)), below=table.parts[:-1]
        )


def open_table(file: TreeFile) -> Table:
    """Open a text table of a tree. Raises `BadFile` if it cannot be read or parsed."""
    try:
        data = read(file.reference)
    # A zip raises nearly anything on a damaged or encrypted file.
    except Exception as e:
        raise BadFile(f"cannot read {file.id}: {e}; check the file") from None
    return read_table(io.BytesIO(data), file.id)
