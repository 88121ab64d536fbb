"""The one reader of outputs: the rows of a file of any format, with its columns inferred."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipcli.errors import BadFile, InputNotFound
from clipcli.outputs import WRITERS
from clipcli.records import Row
from clipcli.scoring.schema import Schema

_LONGEST = max(len(start) for form in WRITERS.values() for start in form.starts)


def read_rows(path: str | Path) -> tuple[Schema, Iterator[Row]]:
    """The schema and the rows of an output. Raises `InputNotFound`, and `BadFile` for what is no whole output."""
    try:
        found = WRITERS[format_of(path)].read_rows(str(path), cut=False)
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror or e}; check the path") from None
    if found is None:
        raise BadFile(f"{path} is empty; give an output of clipcli classify")
    return found


def read_begun(path: str | Path) -> tuple[Schema, Iterator[Row]] | None:
    """The schema and the whole rows of a file that a run may have been killed in; `None` where nothing in it is whole.

    Raises `OSError`, and `BadFile` for what is no output.
    """
    return WRITERS[format_of(path)].read_rows(str(path), cut=True)


def is_output(path: str | Path) -> bool:
    """Whether the file begins as an output of `clipcli classify` does. Raises `OSError`."""
    try:
        return WRITERS[format_of(path)].read_rows(str(path), cut=False) is not None
    except BadFile:
        return False


def format_of(path: str | Path) -> str:
    """The format of a file, by what it begins with. Raises `OSError`."""
    with open(path, "rb") as file:
        start = file.read(_LONGEST)
    return next(
        (name for name, form in WRITERS.items() if form.starts and start.startswith(form.starts)),
        next(name for name, form in WRITERS.items() if not form.starts),
    )
