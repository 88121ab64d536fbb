"""Reads outputs of any format; the format and the columns are found in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipcli.errors import BadFile, InputNotFound
from clipcli.outputs import WRITERS
from clipcli.records import Row
from clipcli.scoring.schema import Schema

_LONGEST = max(len(start) for form in WRITERS.values() for start in form.starts)


def read_rows(path: str | Path) -> tuple[Schema, Iterator[Row]]:
    """The schema and the rows of a complete output.

    Raises `InputNotFound` if it cannot be read, and `BadFile` for a file that is no complete output.
    """
    try:
        found = WRITERS[format_of(path)].read_rows(str(path), cut=False)
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror or e}; check the path") from None
    if found is None:
        raise BadFile(f"{path} is empty; give an output of clipcli classify")
    return found


def read_begun(path: str | Path) -> tuple[Schema, Iterator[Row]] | None:
    """The schema and the complete rows of a file that a killed run may have left; `None` if it has no complete header.

    Raises `OSError`, and `BadFile` for a file that is no output.
    """
    return WRITERS[format_of(path)].read_rows(str(path), cut=True)


def is_output(path: str | Path) -> bool:
    """True if the file begins like an output of `clipcli classify`. Raises `OSError`."""
    try:
        return WRITERS[format_of(path)].read_rows(str(path), cut=False) is not None
    except BadFile:
        return False


def format_of(path: str | Path) -> str:
    """The name of a file's format, by its first bytes. Raises `OSError`."""
    with open(path, "rb") as file:
        start = file.read(_LONGEST)
    return next(
        (name for name, form in WRITERS.items() if form.starts and start.startswith(form.starts)),
        next(name for name, form in WRITERS.items() if not form.starts),
    )
