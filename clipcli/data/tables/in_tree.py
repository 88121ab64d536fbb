"""Reads tables inside a folder or a zip, such as the metadata of a Hugging Face imagefolder."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence

from clipcli.data.columns import CAPTION, Column
from clipcli.data.file_names import suffix_of
from clipcli.data.lookup import Around, Files, files_among, spelt
from clipcli.data.reference import read
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import TABLES_AT_THE_TOP, flickr, read_table
from clipcli.data.tables.rows import Find, samples_of
from clipcli.data.tables.table import Table
from clipcli.data.tree import Data, TreeFile
from clipcli.errors import BadFile
from clipcli.notices import Notices
from clipcli.records import ImageItem, Skipped

# The names of Flickr's captions, as they are published.
CAPTION_TABLES = ("captions.txt", "flickr8k.token.txt", "results_20130124.token")
METADATA = ("metadata.csv", "metadata.jsonl")
# The columns of images and captions in metadata files.
FILE_NAME = Column("image", ("file_name",))
TEXT = Column("caption", ("text", *CAPTION.names), numbered=CAPTION.numbered)


def metadata_in(data: Data) -> list[TreeFile]:
    """The metadata files of a tree, at whatever depth."""
    return [file for file in data.files if file.parts[-1] in METADATA]


def table_of(data: Data) -> TreeFile | None:
    """The table at the top of a tree; `None` if there are several, or two or more folders of images."""
    tables = [file for file in data.files if len(file.parts) == 1 and _is_table_at_the_top(file)]
    if len(tables) != 1 or not data.images:
        return None
    folders = {image.parts[0] for image in data.images if len(image.parts) > 1}
    return tables[0] if len(folders) < 2 else None


def _is_table_at_the_top(file: TreeFile) -> bool:
    """True for a table by its suffix, and for Flickr's `captions.txt`; another `.txt` or `.json` is about one image."""
    if file.parts[0].lower() in CAPTION_TABLES:
        return flickr.is_table(io.BytesIO(read(file.reference)))
    return suffix_of(file.id) in TABLES_AT_THE_TOP


def samples_in(
    tables: Sequence[TreeFile], files: Sequence[TreeFile], reading: Reading, *, notices: Notices
) -> Iterator[Sample | Skipped]:
    """The samples of all rows of these tables; their paths are relative to the folder of each table.

    `files` are those of the tree, in which the paths are looked up. Raises `BadFile`, with the line, for a table that
    cannot be parsed or lacks a column.
    """
    by_path = {"/".join(file.parts): file.item for file in files}
    tree = files_among(by_path)
    for table in tables:
        find = _find_in(by_path, tree, table.parts, notices)
        yield from samples_of(open_table(table, notices), reading, find=find, below=table.parts[:-1])


def open_table(file: TreeFile, notices: Notices) -> Table:
    """Open a text table of a tree. Raises `BadFile` if it cannot be read or parsed."""
    try:
        data = read(file.reference)
    # A zip raises nearly anything on a damaged or encrypted file.
    except Exception as e:
        raise BadFile(f"cannot read {file.id}: {e}; check the file") from None
    return read_table(io.BytesIO(data), file.id, notices)


def _find_in(by_path: Mapping[str, ImageItem], tree: Files, table: tuple[str, ...], notices: Notices) -> Find:
    """Finds images of a tree beside the table at these parts, or in a usual folder such as `images`."""
    around = Around("/".join(table), tree, notices)

    def find(path: str) -> ImageItem | None:
        place = os.path.normpath("/".join((*table[:-1], path)))
        return by_path.get(os.path.normpath(spelt(place, tree, notices) or around.find(path) or ""))

    return find
