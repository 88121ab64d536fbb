"""The file of corrections: what persons said about images, a row a decision, the last about an image counts.

Its columns are `path,label,reviewed_at`, with `labels` before the time where images have several. A row is on disk
before `append_corrections` returns, and a row that a kill cut short is told from a whole one.

Rows are only ever added. One whose time has ` undone` behind it takes back the last row before it in its file that says
the same about the image, so that what was said before that counts again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from clipcli.classes.joined import join_labels, split_labels
from clipcli.data.columns import cell_text
from clipcli.data.file_names import suffix_of
from clipcli.data.tables import TABLES_AT_THE_TOP, read_table
from clipcli.data.tables.table import Unreadable
from clipcli.errors import BadFile, InputNotFound, OutputFailed
from clipcli.notices import Notice, Notices
from clipcli.outputs.correction import Correction, Corrections, combined
from clipcli.outputs.csv import csv_writer
from clipcli.outputs.text import writable

COLUMNS = ("path", "label", "reviewed_at")
COLUMNS_OF_SEVERAL = ("path", "label", "labels", "reviewed_at")
NO_TIME = Notice(
    "correction has no time that can be read",
    "corrections have no time that can be read",
    "it counts as older than those that have one",
)
CUT = Notice(
    "last row of corrections was cut short",
    "last rows of corrections were cut short",
    "it was left out, as its decision may not be whole",
)
# Behind the time of a row that takes another one back.
_UNDONE = " undone"
_AS_IT_IS = "give a file as clipcli review writes it, path,label,reviewed_at"


def read_corrections(files: Sequence[str | Path], notices: Notices) -> Corrections:
    """The corrections of all files; of those about one image the latest counts, and of one time that of the last file.

    Files that another program saved are read too, as Excel with semicolons; times without a zone are UTC. `notices`
    counts rows without a time, and a last row that was cut short.

    Raises `InputNotFound` for a file that cannot be read, and `BadFile`, with the line, for one that holds none.
    """
    each = ((file, _standing(_read(file, notices))) for file in map(str, files))
    return combined((file, correction) for file, rows in each for correction in rows)


def append_corrections(file: str | Path, corrections: Iterable[Correction], *, several: bool = False) -> None:
    """Append rows and have them on disk, below a header if the file is new.

    A last row that a kill cut short is removed first. With `several` images may have several labels.

    Raises `OutputFailed`, and `BadFile` if the file is no file of corrections, has no column for several labels, or has
    a quote without its end before other rows.
    """
    try:
        with open(file, "a+b") as stream:
            stream.seek(0)
            data = stream.read()
            columns = _columns_of(data, file=str(file), several=several)
            whole = _end_of_rows(data, columns, file=str(file))
            rest = b"\n" if data[whole - 1 : whole] not in (b"", b"\n") else b""
            rows = rest + _written(corrections, columns, header=whole == 0, file=str(file))
            stream.truncate(whole)
            stream.write(rows)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as e:
        raise OutputFailed(f"cannot write {file}: {e.strerror or e}; free some space or choose another") from None


def _standing(rows: Iterable[Correction]) -> list[Correction]:
    """The rows of a file, in order, that no later one takes back."""
    found: dict[int, Correction] = {}
    of_image: dict[tuple[str, frozenset[str]], list[int]] = {}
    for number, row in enumerate(rows):
        same = of_image.setdefault((row.path, frozenset(row.labels)), [])
        if not row.undone:
            found[number] = row
            same.append(number)
        elif same:
            del found[same.pop()]
    return list(found.values())


def _read(file: str, notices: Notices) -> Iterator[Correction]:
    """The corrections of a file, in order."""
    if suffix_of(file) not in TABLES_AT_THE_TOP:
        raise BadFile(f"{file} does not end in {' or '.join(TABLES_AT_THE_TOP)}; {_AS_IT_IS}")
    try:
        data = Path(file).read_bytes()
    except OSError as e:
        raise InputNotFound(f"cannot read {file}: {e.strerror or e}; check the path") from None
    if suffix_of(file) == ".csv":
        data = _without_cut(data, file=file, notices=notices)
    if not data.strip():
        return
    table = read_table(io.BytesIO(data), file, notices)
    if "path" not in table.columns or not {"label", "labels"} & set(table.columns):
        raise BadFile(f"{file} has the columns {','.join(table.columns)}; {_AS_IT_IS}")
    if {"score", "scores", "error"} & set(table.columns) and "reviewed_at" not in table.columns:
        raise BadFile(
            f"{file} is an output of clipcli classify, whose labels nobody may have looked at; {_AS_IT_IS}, or keep the"
            " columns path and label of rows that you know"
        )
    for where, row in table.rows("path", COLUMNS_OF_SEVERAL[1:]):
        if isinstance(row, Unreadable):
            raise BadFile(f"{where}: {row.reason}; {_AS_IT_IS}")
        cells = {name: cell_text(row.get(name)) or "" for name in COLUMNS_OF_SEVERAL}
        yield _correction(cells, where=where, notices=notices)


def _correction(cells: Mapping[str, str], *, where: str, notices: Notices) -> Correction:
    path, label = cells["path"], cells["label"]
    if not path:
        raise BadFile(f"{where}: no path; {_AS_IT_IS}")
    try:
        labels = tuple(split_labels(cells["labels"])) or ((label,) if label else ())
    except ValueError as e:
        raise BadFile(f"{where}: {e} in its labels; mend the quotes") from None
    if label and label not in labels:
        raise BadFile(f"{where}: '{label}' is not among its labels, {cells['labels']}; mend one of the two")
    time = _utc(cells["reviewed_at"])
    if time is None:
        notices.add(NO_TIME, where)
    return Correction(path, labels, time or "", undone=cells["reviewed_at"].strip().endswith(_UNDONE))


def _utc(text: str) -> str | None:
    """A time in ISO 8601 as the same in UTC, also of a row that takes another one back; `None` if it is none."""
    try:
        time = datetime.fromisoformat(text.strip().removesuffix(_UNDONE))
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _without_cut(data: bytes, *, file: str, notices: Notices) -> bytes:
    """The content of a `.csv` without a last row that a kill cut short, which is counted."""
    line = data.split(b"\n", 1)[0].strip()
    if _whole_size(data) == 0 and _begins_header(line):
        return b""
    ours = next((columns for columns in (COLUMNS, COLUMNS_OF_SEVERAL) if line == _header(columns)), None)
    # Of a table of another make nothing is known of how it was written.
    if ours is None:
        return data
    whole = _end_of_rows(data, ours, file=file)
    if whole < len(data):
        notices.add(CUT, file)
    return data[:whole]


def _end_of_rows(data: bytes, columns: Sequence[str], *, file: str) -> int:
    """The size of the whole rows; the last of them may lack its line end.

    Raises `BadFile` if the rest is no row that was cut short, but rows behind a quote without its end.
    """
    whole = _whole_size(data)
    rest = data[whole:]
    if not rest or _is_row(rest, columns):
        return len(data)
    if any(_is_row(line.replace(b'"', b""), columns) for line in rest.split(b"\n")):
        number = data.count(b"\n", 0, whole) + 1
        raise BadFile(f"{file} line {number}: a quote without its end; mend the quotes")
    return whole


def _whole_size(data: bytes) -> int:
    """The size of the rows that end with a line end: one that is not in quotes."""
    size = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, size)
    while quotes % 2:
        end, size = size, data.rfind(b"\n", 0, size - 1) + 1
        quotes -= data.count(b'"', size, end)
    return size


def _is_row(line: bytes, columns: Sequence[str]) -> bool:
    """True if a line without an end is a whole row, as an editor leaves it: its time is complete."""
    if line.count(b'"') % 2:
        return False
    _, mark, time = line.decode("utf-8", "surrogateescape").rpartition(",")
    to_the_second = len(time) >= len("2026-01-01T00:00:00") and _utc(time) is not None
    return bool(mark) and line.count(b",") >= len(columns) - 1 and to_the_second


def _columns_of(data: bytes, *, file: str, several: bool) -> tuple[str, ...]:
    """The columns of a file that is gone on with, or of a new one. Raises `BadFile` if they are others."""
    header, end, _ = data.partition(b"\n")
    if not end:
        if not _begins_header(header):
            raise BadFile(f"{file} is no file of corrections; give another")
        return COLUMNS_OF_SEVERAL if several else COLUMNS
    for columns in (COLUMNS, COLUMNS_OF_SEVERAL):
        if header == _header(columns):
            if several and columns == COLUMNS:
                raise _no_column(file)
            return columns
    raise BadFile(f"{file} was saved by another program, or holds no corrections; give another file to go on in")


def _header(columns: Sequence[str]) -> bytes:
    return ",".join(columns).encode()


def _begins_header(line: bytes) -> bool:
    """True if a header was cut within this line."""
    return any(_header(columns).startswith(line) for columns in (COLUMNS, COLUMNS_OF_SEVERAL))


def _written(corrections: Iterable[Correction], columns: Sequence[str], *, header: bool, file: str) -> bytes:
    stream = io.StringIO()
    rows = csv_writer(stream)
    if header:
        rows.writerow(columns)
    for correction in corrections:
        if len(correction.labels) > 1 and "labels" not in columns:
            raise _no_column(file)
        cells = {
            "path": correction.path,
            "label": correction.label or "",
            "labels": join_labels(correction.labels) if correction.labels else "",
            "reviewed_at": correction.reviewed_at + (_UNDONE if correction.undone else ""),
        }
        rows.writerow([writable(cells[name]) for name in columns])
    return stream.getvalue().encode("utf-8", "surrogateescape")


def _no_column(file: str) -> BadFile:
    return BadFile(f"{file} has no column for several labels; give another file")
