"""Tables that lie in a folder or a zip, and name images around them, such as Hugging Face's imagefolder."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence

from clipcli.data.columns import CAPTION, Column
from clipcli.data.reference import read
from clipcli.data.samples import Reading, Sample
from clipcli.data.suffixes import suffix_of
from clipcli.data.tables import TEXT_TABLES, read_table
from clipcli.data.tables.rows import samples_of
from clipcli.data.tables.table import Table
from clipcli.data.tree import Data, TreeFile
from clipcli.errors import BadFile
from clipcli.records import Skipped

METADATA = ("metadata.csv", "metadata.jsonl")
# The column that names the images in metadata, and that of captions.
FILE_NAME = Column("image", ("file_name",))
TEXT = Column("caption", ("text", *CAPTION.names))


def metadata_in(data: Data) -> list[TreeFile]:
    """The metadata files of a tree, at whatever depth."""
    return [file for file in data.files if file.parts[-1] in METADATA]


def table_of(data: Data) -> TreeFile | None:
    """The table at the top of a tree that names its classes: the only one there, and no tree of class folders."""
    there = [file for file in data.files if len(file.parts) == 1 and suffix_of(file.id) in TEXT_TABLES]
    if len(there) != 1 or not data.images:
        return None
    folders = {image.parts[0] for image in data.images if len(image.parts) > 1}
    return there[0] if len(folders) < 2 else None


def samples_in(tables: Sequence[TreeFile], files: Sequence[TreeFile], reading: Reading) -> Iterator[Sample | Skipped]:
    """The samples of all rows of these tables; paths begin in the folder of the table that they stand in.

    Raises `BadFile`, with the line, for a table that cannot be understood.
    """
    by_path = {"/".join(file.parts): file.item for file in files}
    for table in tables:
        found = open_table(table)
        yield from samples_of(
            found, reading, find=lambda path: by_path.get(os.path.normpath(path)), below=table.parts[:-1]
        )


def open_table(file: TreeFile) -> Table:
    """A table of text in a tree. Raises `BadFile`."""
    try:
        data = read(file.reference)
    # A zip raises nearly anything on a damaged or encrypted file.
    except Exception as e:
        raise BadFile(f"cannot read {file.id}: {e}; check the file") from None
    return read_table(io.BytesIO(data), file.id)
