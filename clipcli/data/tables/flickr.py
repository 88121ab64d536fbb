"""Reads the caption files of Flickr8k and Flickr30k: `.txt` and `.token`, and other tables in a `.txt`."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from clipcli.data.columns import CAPTION, IMAGE, LABEL, found_columns
from clipcli.data.file_names import IMAGE_SUFFIXES
from clipcli.data.tables.lines import lines_of
from clipcli.data.tables.separated import read_csv, read_tsv
from clipcli.data.tables.table import Row, Table, Unreadable
from clipcli.notices import Notices

_SUFFIXES = "|".join(suffix.removeprefix(".") for suffix in sorted(IMAGE_SUFFIXES))
# As in `1000268201_693b08cb0e.jpg#0`, a tab, and the caption.
_LINE = re.compile(r"([^\t]+?)(?:#\d+)?[ ]*\t(.*)")
_FIRST_LINE = re.compile(rf"[^\t]+\.(?:{_SUFFIXES})(?:#\d+)?[ ]*\t.*", re.IGNORECASE)
# The first line is looked for in this many bytes.
_PEEK = 10_000


def is_table(stream: BinaryIO) -> bool:
    """True if a `.txt` begins as one of these files do, and not as a caption or a list of paths does."""
    first = _first_line(stream)
    return _FIRST_LINE.fullmatch(first) is not None or _is_header(first)


def read_txt(stream: BinaryIO, name: str, notices: Notices) -> Table:
    """The table in such a file. Raises `BadFile`, with the line, if it cannot be parsed."""
    first = _first_line(stream)
    stream.seek(0)
    if _FIRST_LINE.fullmatch(first):
        return Table(name, ["image", "caption"], lambda _image, _others: _rows(stream, name))
    return read_tsv(stream, name, notices) if "\t" in first else read_csv(stream, name, notices)


def _first_line(stream: BinaryIO) -> str:
    return next(lines_of(io.BytesIO(stream.read(_PEEK))), "").rstrip("\r\n")


def _is_header(line: str) -> bool:
    fields = [field.strip() for field in re.split(r"[\t,|]", line)]
    targets = found_columns(fields, CAPTION) or found_columns(fields, LABEL)
    return len(fields) > 1 and bool(targets and found_columns(fields, IMAGE))


def _rows(stream: BinaryIO, name: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(stream), 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        found = _LINE.fullmatch(text)
        cells = Unreadable("no tab in the line") if found is None else {"image": found[1], "caption": found[2]}
        yield f"{name} line {number}", cells
