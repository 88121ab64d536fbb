"""Tables with an image and a caption column: `.csv`, `.tsv`, `.jsonl` or `.parquet`."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from clipcli.data.pairs import parquet
from clipcli.data.pairs.captions import Uncaptioned, cleaned, is_utf8
from clipcli.data.pairs.pair import Data, Pair, PairOptions, PairsRead, skipped_place, some_of
from clipcli.data.sources import files
from clipcli.errors import BadFile, InputNotFound
from clipcli.records import ImageItem, Skipped

IMAGE_COLUMNS = ("filepath", "file_name", "filename", "image", "image_path", "path", "file")
CAPTION_COLUMNS = ("caption", "captions", "text", "title", "label")
PARQUET = ".parquet"
# A line of JSON may lack a key that others have: the columns are those of so many lines together.
_LINES_FOR_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Guesses:
    """What the columns are usually called, the likeliest first, and what the second is the column of."""

    image: tuple[str, ...] = IMAGE_COLUMNS
    caption: tuple[str, ...] = CAPTION_COLUMNS
    of: str = "caption"


@dataclass(frozen=True, slots=True)
class Row:
    """Where a row stands, and its two cells: a path or what holds the image's bytes, and a caption or several."""

    where: str
    image: object
    caption: object


def matches(data: Data) -> bool:
    """Whether this is a file with the suffix of a table."""
    return _suffix(data.text) in (*TEXT_TABLES, PARQUET) and os.path.isfile(data.text)


def read(data: Data, options: PairOptions) -> PairsRead:
    """A pair for each image in the order of the rows, paths being relative to the table's folder.

    Raises `BadFile`, with the line, for a table that cannot be understood, `InputNotFound`, and `MissingExtra`.
    """
    try:
        with open(data.text, "rb") as stream:
            folder = os.path.dirname(data.text)
            rows = table_rows(stream, data.text, options)
            return gathered(rows, find=lambda path: files.item(os.path.join(folder, path)))
    except OSError as e:
        raise InputNotFound(f"cannot read {data.text}: {e.strerror or e}; check the file") from None


def text_rows(stream: BinaryIO, *, name: str, options: PairOptions, guesses: Guesses | None = None) -> Iterator[Row]:
    """The rows of a table of text. Raises `BadFile`, with the line."""
    columns, records = TEXT_TABLES[_suffix(name)](stream, name)
    image, caption = chosen_columns(columns, name=name, options=options, guesses=guesses or Guesses())
    for where, record in records:
        yield Row(where, record.get(image), record.get(caption))


def chosen_columns(columns: Iterable[str], *, name: str, options: PairOptions, guesses: Guesses) -> tuple[str, str]:
    """The image column and the caption column: those asked for, else the first guesses that are there."""
    there = list(columns)
    images = guesses.image if options.image_column is None else (options.image_column,)
    captions = guesses.caption if options.caption_column is None else (options.caption_column,)
    image = next((column for column in images if column in there), None)
    caption = next((column for column in captions if column in there), None)
    if image is not None and caption is not None:
        return image, caption
    missing = [] if image is not None else [f"no image column ({some_of(images)})"]
    missing += [] if caption is not None else [f"no {guesses.of} column ({some_of(captions)})"]
    mark = next((mark for mark in (";", "\t") if len(there) == 1 and mark in there[0]), None)
    todo = f"name the columns with --image-column and --{guesses.of}-column"
    if mark is not None:
        todo = f"they seem to be separated by {mark!r}: save it with commas, or with tabs as .tsv"
    raise BadFile(f"{name}: {' and '.join(missing)} among its columns {some_of(there)}; {todo}")


def gathered(rows: Iterable[Row], *, find: Callable[[str], ImageItem | None]) -> PairsRead:
    """A pair for each image, with the captions of all its rows, in the order in which the images first appear.

    `find` gives the image of a path, or `None` where it is known that there is none.
    """
    items: dict[str, ImageItem] = {}
    captions: dict[str, list[str]] = {}
    skipped: list[Skipped] = []
    for row in rows:
        item = row.image if isinstance(row.image, ImageItem) else None
        if item is None:
            reason = why_no_path(row.image)
            item = None if reason else find(str(row.image))
            if item is None:
                skipped.append(skipped_place(row.where, reason or f"no image {row.image!r}"))
                continue
        try:
            texts = cleaned(row.caption)
        except Uncaptioned as e:
            skipped.append(Skipped(item, str(e)))
            continue
        # The same file may be written as a.jpg and as ./a.jpg.
        key = os.path.normpath(item.id)
        items.setdefault(key, item)
        captions.setdefault(key, []).extend(texts)
    return PairsRead([Pair(item, tuple(captions[key])) for key, item in items.items()], skipped)


def table_rows(stream: BinaryIO, name: str, options: PairOptions, guesses: Guesses | None = None) -> Iterator[Row]:
    """The rows of a table of any kind. Raises `BadFile`, with the line, and `MissingExtra`."""
    if _suffix(name) in TEXT_TABLES:
        return text_rows(stream, name=name, options=options, guesses=guesses)
    image, caption = chosen_columns(parquet.columns(name), name=name, options=options, guesses=guesses or Guesses())
    return (Row(*row) for row in parquet.rows(name, image=image, caption=caption))


def why_no_path(image: object) -> str | None:
    """What is wrong with the path of an image, in a few words; `None` where nothing is."""
    if image is None or (isinstance(image, str) and not image.strip()):
        return "no image path"
    return "image path is not text" if not isinstance(image, str) or "\0" in image else None


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


Records = Iterator[tuple[str, Mapping[str, object]]]


def _csv(stream: BinaryIO, name: str) -> tuple[list[str], Records]:
    return _separated(stream, name, ",")


def _tsv(stream: BinaryIO, name: str) -> tuple[list[str], Records]:
    return _separated(stream, name, "\t")


def _separated(stream: BinaryIO, name: str, delimiter: str) -> tuple[list[str], Records]:
    records = _fields(stream, name, delimiter)
    _, header = next(records, ("", []))
    columns = [column.strip() for column in header]
    if not any(columns):
        raise BadFile(f"{name} line 1: an empty table; begin with the names of its columns")
    if not all(map(is_utf8, columns)):
        raise BadFile(f"{name} line 1: not UTF-8; save the table as UTF-8")
    return columns, _as_records(columns, records)


def _fields(stream: BinaryIO, name: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """The fields of each row that is not blank, and where it begins."""
    reader = csv.reader(_lines(stream), delimiter=delimiter, strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield f"{name} line {start}", fields
            start = reader.line_num + 1
    except csv.Error as e:
        raise BadFile(f"{name} line {start}: {e}; is a quote missing?") from None


def _lines(stream: BinaryIO) -> Iterator[str]:
    """The lines with their ends; bytes that are not UTF-8 stay what they are, as in names of files."""
    for number, line in enumerate(stream):
        yield line.decode("utf-8" if number else "utf-8-sig", "surrogateescape")


def _as_records(columns: list[str], rows: Iterator[tuple[str, list[str]]]) -> Records:
    for where, fields in rows:
        if len(fields) > len(columns):
            raise BadFile(
                f"{where}: {len(fields)} fields for {len(columns)} columns; put quotes around a caption with separators"
            )
        yield where, dict(zip(columns, fields, strict=False))


def _jsonl(stream: BinaryIO, name: str) -> tuple[list[str], Records]:
    records = _objects(stream, name)
    head = list(itertools.islice(records, _LINES_FOR_COLUMNS))
    if not head:
        raise BadFile(f"{name} line 1: an empty table; write one JSON object a line")
    columns = list(dict.fromkeys(itertools.chain.from_iterable(record for _, record in head)))
    return columns, itertools.chain(head, records)


def _objects(stream: BinaryIO, name: str) -> Records:
    for number, line in enumerate(_lines(stream), 1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as e:
            reason = e.msg if isinstance(e, json.JSONDecodeError) else "it cannot be read"
            raise BadFile(f"{where}: not JSON: {reason}; write one JSON object a line") from None
        if not isinstance(record, dict):
            raise BadFile(f"{where}: not a JSON object; write one JSON object a line")
        yield where, record


TEXT_TABLES: dict[str, Callable[[BinaryIO, str], tuple[list[str], Records]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
}
