"""Outputs: rows to a file or to standard output, one small class per format.

A writer writes beside the target (`labels.csv.part`) and moves the file into place when it is closed, so the target
is always whole: all rows, or, after an interruption, all rows so far.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clipcli.errors import OutputExists, OutputFailed, UsageError, unknown
from clipcli.types import Row
from clipcli.writers.csv import CsvWriter
from clipcli.writers.jsonl import JsonlWriter
from clipcli.writers.parquet import ParquetWriter

STDOUT = "-"


class Writer(Protocol):
    """Takes rows batch by batch; after `write` returns, the batch is out of our hands."""

    def __init__(self, path: str, *, top_k: int) -> None: ...

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One output format; a stream is standard output, which is not a file one can go back in."""

    writer: type[Writer]
    suffixes: tuple[str, ...]
    can_stream: bool = True


WRITERS: dict[str, Format] = {
    "csv": Format(CsvWriter, (".csv",)),
    "jsonl": Format(JsonlWriter, (".jsonl", ".ndjson")),
    "parquet": Format(ParquetWriter, (".parquet",), can_stream=False),
}


def choose_format(output: str, requested: str | None) -> str:
    """The format asked for, or the one of the output's suffix; csv on standard output.

    Raises `UnknownName` or `UsageError`.
    """
    if requested is not None and requested not in WRITERS:
        raise unknown("format", requested, WRITERS)
    suffix = Path(output).suffix.lower()
    by_suffix = [name for name, form in WRITERS.items() if suffix in form.suffixes]
    name = requested or ("csv" if output == STDOUT else next(iter(by_suffix), None))
    if name is None:
        raise UsageError(f"the format of {output} is not clear from its name; give --format {' or '.join(WRITERS)}")
    if output == STDOUT and not WRITERS[name].can_stream:
        raise UsageError(f"{name} cannot go to standard output; give --output FILE")
    return name


def check_output(output: str, *, overwrite: bool) -> None:
    """Raise `OutputExists` or `OutputFailed` now rather than after an hour of work."""
    if output == STDOUT:
        return
    path = Path(output)
    if path.is_dir():
        raise OutputFailed(f"{output} is a folder; give a file")
    if path.exists() and not overwrite:
        raise OutputExists(f"{output} exists; give another --output, or --overwrite to replace it")
    folder = path.parent
    if not folder.is_dir():
        raise OutputFailed(f"no folder {folder} to write {path.name} in; make it first")
    part = Path(_part(output))
    try:
        part.open("ab").close()
        if part.stat().st_size == 0:
            part.unlink()
    except OSError as e:
        raise OutputFailed(f"cannot write in {folder}: {e.strerror}; choose another --output") from None


class OpenOutput:
    """An output that is being written: a context manager that puts the file in place when it ends, however it ends."""

    def __init__(self, output: str, *, format: str, top_k: int) -> None:
        self._output = output
        self._target = STDOUT if output == STDOUT else _part(output)
        self._writer = WRITERS[format].writer(self._target, top_k=top_k)

    def write(self, rows: Sequence[Row]) -> None:
        """Write and flush these rows. Raises `OutputFailed`."""
        try:
            self._writer.write(rows)
        except BrokenPipeError:
            raise
        except OSError as e:
            raise OutputFailed(f"cannot write {self._output}: {e.strerror}; free some space and start again") from None

    def __enter__(self) -> OpenOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._writer.close()
            if self._output != STDOUT:
                os.replace(self._target, self._output)
        except OSError as e:
            # What was raised first says more, as on a full disk.
            if kind is None:
                raise OutputFailed(
                    f"cannot finish {self._output}: {e.strerror}; the rows are in {self._target}"
                ) from None


def _part(output: str) -> str:
    return f"{output}.part"
