"""Hugging Face's imagefolder: `metadata.csv` or `metadata.jsonl` names the images beside and below it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace

from clipcli.data.pairs.pair import Data, PairOptions, PairsRead
from clipcli.data.pairs.tables import CAPTION_COLUMNS, Guesses, Row, gathered, text_rows
from clipcli.data.reference import read as read_bytes
from clipcli.data.sources.tree import TreeFile
from clipcli.errors import BadFile
from clipcli.records import ImageItem, Skipped

METADATA = ("metadata.csv", "metadata.jsonl")
_GUESSES = Guesses(image=("file_name",), caption=("text", *CAPTION_COLUMNS))


def matches(data: Data) -> bool:
    """Whether there is a metadata file in it, at whatever depth."""
    return any(_is_metadata(file) for file in data.files)


def read(data: Data, options: PairOptions) -> PairsRead:
    """A pair for each image that metadata names, in their order; the other images are skipped.

    Raises `BadFile`, with the line, for metadata that cannot be understood.
    """
    named: set[str] = set()
    by_path = {"/".join(file.parts): file.item for file in data.files}

    def find(path: str) -> ImageItem | None:
        path = os.path.normpath(path)
        named.add(path)
        return by_path.get(path)

    rows = (row for file in data.files if _is_metadata(file) for row in _rows(file, options))
    found = gathered(rows, find=find)
    others = [image for image in data.images if "/".join(image.parts) not in named]
    return PairsRead(found.pairs, [*found.skipped, *(Skipped(image.item, "not in metadata") for image in others)])


def _is_metadata(file: TreeFile) -> bool:
    return file.parts[-1] in METADATA


def _rows(file: TreeFile, options: PairOptions) -> Iterator[Row]:
    """The rows of one metadata file, their images named from the root on."""
    try:
        data = read_bytes(file.reference)
    # A zip raises nearly anything on a damaged or encrypted file.
    except Exception as e:
        raise BadFile(f"cannot read {file.id}: {e}; check the file") from None
    for row in text_rows(io.BytesIO(data), name=file.id, options=options, guesses=_GUESSES):
        # What is not a path is left for the reader of rows to say so.
        named = isinstance(row.image, str) and row.image.strip()
        yield replace(row, image="/".join((*file.parts[:-1], str(row.image)))) if named else row
