"""Outputs: rows to a file or to standard output, one small class per format.

Rows are written beside the target and moved into place at the end, so the target is always whole: all rows, or,
after an interruption, all rows so far. What is not a plain file, such as `/dev/null` or a pipe, is written directly.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clipcli.atomic import part_of, put_in_place
from clipcli.errors import MissingExtra, OutputExists, OutputFailed, UsageError, unknown
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
    """One output format; a stream is standard output, which is not a file one can go back in.

    `needs` names the module, and the extra of clipcli, without which there is no such writer.
    """

    writer: type[Writer]
    suffixes: tuple[str, ...]
    can_stream: bool = True
    needs: tuple[str, str] | None = None


WRITERS: dict[str, Format] = {
    "csv": Format(CsvWriter, (".csv",)),
    "jsonl": Format(JsonlWriter, (".jsonl", ".ndjson")),
    "parquet": Format(ParquetWriter, (".parquet",), can_stream=False, needs=("pyarrow", "parquet")),
}


def choose_format(output: str, requested: str | None) -> str:
    """The format asked for, or the one of the output's suffix; csv on standard output.

    Raises `UnknownName`, `UsageError`, or `MissingExtra`.
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
    needs = WRITERS[name].needs
    if needs and importlib.util.find_spec(needs[0]) is None:
        raise MissingExtra(f"{name} needs {needs[0]}; run pip install 'clipcli[{needs[1]}]', or use --format csv")
    return name


def check_output(output: str, *, overwrite: bool) -> None:
    """Raise `OutputExists`, `UsageError` or `OutputFailed` now rather than after an hour of work."""
    if output == STDOUT:
        if sys.stdout is None:
            raise OutputFailed("standard output is closed; give --output FILE")
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"{output} is a folder; give a file")
    if _is_special(path):
        return
    if path.exists() and not overwrite:
        raise OutputExists(f"{output} exists; give another --output, or --overwrite to replace it")
    target = path.resolve()
    if not target.parent.is_dir():
        raise UsageError(f"no folder {path.parent} to write {path.name} in; make it first")
    part = part_of(target)
    try:
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as e:
        raise OutputFailed(f"cannot write in {path.parent}: {e.strerror}; choose another --output") from None


class OpenOutput:
    """An output that is being written: a context manager that puts the file in place when it ends, however it ends.

    Only where writing itself failed is the target left as it was; the error then says where the rows so far are.
    """

    def __init__(self, output: str, *, format: str, top_k: int, overwrite: bool = False) -> None:
        self._output = output
        self._overwrite = overwrite
        direct = output == STDOUT or _is_special(Path(output))
        # The file behind a link is replaced, not the link.
        self._target = None if direct else Path(output).resolve()
        self._part = output if self._target is None else str(part_of(self._target))
        self._failed = False
        try:
            self._writer = WRITERS[format].writer(self._part, top_k=top_k)
        except BrokenPipeError:
            raise
        except OSError as e:
            raise OutputFailed(f"cannot write {output}: {e.strerror}; choose another --output") from None

    def write(self, rows: Sequence[Row]) -> None:
        """Write and flush these rows. Raises `OutputFailed`."""
        try:
            self._writer.write(rows)
        except BrokenPipeError:
            raise
        except OSError as e:
            self._failed = True
            raise self._failure(e) from None

    def __enter__(self) -> OpenOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._writer.close()
            if self._target is None or self._failed:
                return
            if self._target.exists() and not self._overwrite:
                raise OutputExists(f"{self._output} was made by someone else meanwhile; the rows are in {self._part}")
            put_in_place(Path(self._part), self._target)
        except OSError as e:
            # What was raised first says more, as on a full disk.
            if kind is None:
                raise self._failure(e) from None

    def _failure(self, error: OSError) -> OutputFailed:
        where = "" if self._target is None else f" (the rows so far are in {self._part})"
        return OutputFailed(f"cannot write {self._output}: {error.strerror}{where}; free some space and start again")


def _is_special(path: Path) -> bool:
    """Whether this is there and is neither a file nor a folder: a device, or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
