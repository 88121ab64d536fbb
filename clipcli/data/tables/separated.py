"""Reads tables with a separator: `.csv` with commas or semicolons, `.tsv` with tabs, Flickr30k's `.csv` with `|`."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from clipcli.data.captions import is_utf8
from clipcli.data.file_names import is_image_name
from clipcli.data.tables.formulas import is_safe, original_cells, original_columns
from clipcli.data.tables.lines import Record, lines_of
from clipcli.data.tables.literal import literal_records
from clipcli.data.tables.table import Row, Table, Unreadable
from clipcli.errors import BadFile
from clipcli.notices import Notice, Notices

FEWER = Notice(
    "row has fewer fields than the header",
    "rows have fewer fields than the header",
    "the cells that it lacks are blank; is a quote or a separator missing?",
)
MORE = Notice(
    "row has more fields than the header",
    "rows have more fields than the header",
    "it was skipped; put quotes around a text that holds the separator",
)
BLANKS = Notice(
    "row has blank fields beyond the header",
    "rows have blank fields beyond the header",
    "it was read without them",
    warns=False,
)
JOINED = Notice(
    "field in quotes holds tabs or line ends",
    "fields in quotes hold tabs or line ends",
    "it was read as one field",
    warns=False,
)
SWALLOWED = Notice(
    "row goes over lines that seem to be rows themselves",
    "rows go over lines that seem to be rows themselves",
    "it was read as one row; is a quote missing in it?",
)
UNNAMED = Notice("column has no name", "columns have no name", "it was left out", warns=False)
REPEATED = Notice(
    "column has the name of one before it",
    "columns have the name of one before them",
    "it was left out; give each a name of its own",
)
# A field that goes over more lines than this is taken for one whose quote is not closed.
_MANY_LINES = 20


def read_csv(stream: BinaryIO, name: str, notices: Notices) -> Table:
    """A table separated by commas, or where its header has none by semicolons, by tabs or by `|`.

    Excel writes semicolons where a comma is for decimals, as in most of Europe.

    Raises `BadFile`, with the line, if it cannot be parsed.
    """
    lines = lines_of(stream)
    header = next(lines, "")
    lines = itertools.chain([header], lines)
    if "|" in header and "," not in header:
        return _table(literal_records(lines, "|"), name, "|", notices)
    mark = next((mark for mark in ",;\t" if mark in header), ",")
    return _table(_quoted(lines, name, mark), name, mark, notices)


def read_tsv(stream: BinaryIO, name: str, notices: Notices) -> Table:
    """A table separated by tabs; quotes count only as `literal` says. Raises `BadFile`, with the line."""
    return _table(literal_records(lines_of(stream), "\t"), name, "\t", notices)


def _quoted(lines: Iterator[str], name: str, mark: str) -> Iterator[Record]:
    """The records of CSV that are not blank."""
    taken: list[str] = []

    def kept() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    reader = csv.reader(kept(), delimiter=mark, strict=True)
    start = 1
    try:
        for fields in reader:
            if len(fields) > 1 or "".join(fields).strip():
                yield Record(start, fields, taken[1:])
            start = reader.line_num + 1
            taken.clear()
    except csv.Error as e:
        raise BadFile(f"{name} line {start}: {e}; is a quote missing?") from None


def _table(records: Iterator[Record], name: str, mark: str, notices: Notices) -> Table:
    header = next(records, Record(1, []))
    written = [column.replace("\ufeff", "").strip() for column in header.fields]
    safe = is_safe(written)
    columns = original_columns(written) if safe else written
    records = _originals(records, written, name) if safe else records
    if not any(columns):
        raise BadFile(f"{name} line 1: an empty table; begin with the names of its columns")
    if not all(map(is_utf8, columns)):
        raise BadFile(f"{name} line 1: not UTF-8; save the table as UTF-8")
    numbers = {column: n for n, column in reversed(list(enumerate(columns))) if column}
    names = sorted(numbers, key=numbers.__getitem__)

    def rows(image: str, _others: Sequence[str]) -> Iterator[Row]:
        _count_columns(columns, name, notices)
        for record in records:
            where, fields = f"{name} line {record.line}", record.fields
            if record.joined:
                notices.add(JOINED, where)
            if record.more and _swallows(record.more, numbers[image], mark):
                notices.add(SWALLOWED, where)
            if len(fields) < len(columns):
                notices.add(FEWER, where)
            beyond = fields[len(columns) :]
            if any(map(str.strip, beyond)):
                notices.add(MORE, where)
                yield where, Unreadable(f"{len(fields)} fields for {len(columns)} columns")
                continue
            if beyond:
                notices.add(BLANKS, where)
            yield where, {column: fields[n] for column, n in numbers.items() if n < len(fields)}

    return Table(name, names, rows, spreadsheet_safe=safe)


def _originals(records: Iterator[Record], columns: Sequence[str], name: str) -> Iterator[Record]:
    """The records of a file that was written with these columns for spreadsheets, as they were before."""
    for record in records:
        try:
            yield record._replace(fields=original_cells(columns, record.fields))
        except ValueError as e:
            raise BadFile(f"{name} line {record.line}: {e}; mend the row, or take it out") from None


def _count_columns(columns: Sequence[str], name: str, notices: Notices) -> None:
    """Count the columns that are left out: those without a name, and all but the first of a name."""
    for n, column in enumerate(columns):
        if not column:
            notices.add(UNNAMED, f"column {n + 1} of {name}")
        elif column in columns[:n]:
            notices.add(REPEATED, f"{column!r} in {name}")


def _swallows(lines: Sequence[str], image: int, mark: str) -> bool:
    """True if one of the further lines of a row names an image where a row does, or if there are very many."""
    if len(lines) > _MANY_LINES:
        return True
    cells = (line.split(mark)[image : image + 1] for line in lines if mark in line)
    names = (cell.strip() for found in cells for cell in found)
    # The rest of a name that has a line break itself has the quote that closes it, and so an odd number of them.
    return any(is_image_name(name.strip('"')) for name in names if name.count('"') % 2 == 0)
