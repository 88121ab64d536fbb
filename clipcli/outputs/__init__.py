"""Outputs: rows to a file or to standard output, one small class per format.

Rows are written beside the target and moved into place at the end, so the target is always whole: all rows, or,
after an interruption, all rows so far. What is not a plain file, such as `/dev/null` or a pipe, is written directly.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clipcli.errors import MissingExtra, OutputExists, OutputFailed, UsageError, unknown
from clipcli.files.atomic import part_of, put_in_place
from clipcli.files.locks import hold, is_held
from clipcli.outputs import csv, jsonl, parquet
from clipcli.records import Row

STDOUT = "-"


class Writer(Protocol):
    """Takes rows batch by batch; after `write` returns, the batch is out of our hands."""

    def __init__(self, path: str, *, top_k: int) -> None: ...

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


class ReadRows(Protocol):
    """Reads the whole rows of a file, also of one that was cut. Raises `BadFile` for what is no such output."""

    def __call__(self, path: str, *, top_k: int) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One output format; a stream is standard output, a device or a pipe, which is no file one can go back in.

    `read_rows` gives the whole rows of what the writer wrote before it was cut. `finish` makes the output of a file
    that the writer has closed, where that is not the output itself. `needs` names the module, and the extra of
    clipcli, without which there is no such writer.
    """

    writer: type[Writer]
    read_rows: ReadRows
    suffixes: tuple[str, ...]
    can_stream: bool = True
    finish: Callable[[Path, Path], None] | None = None
    needs: tuple[str, str] | None = None


WRITERS: dict[str, Format] = {
    "csv": Format(csv.CsvWriter, csv.read_rows, (".csv",)),
    "jsonl": Format(jsonl.JsonlWriter, jsonl.read_rows, (".jsonl", ".ndjson")),
    "parquet": Format(
        parquet.ParquetWriter,
        parquet.read_rows,
        (".parquet",),
        can_stream=False,
        finish=parquet.to_parquet,
        needs=("pyarrow", "parquet"),
    ),
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
    if not WRITERS[name].can_stream and (output == STDOUT or _is_special(Path(output))):
        to = "standard output" if output == STDOUT else f"{output}, which is no plain file"
        raise UsageError(f"{name} cannot go to {to}; give --output FILE")
    needs = WRITERS[name].needs
    if needs and importlib.util.find_spec(needs[0]) is None:
        raise MissingExtra(f"{name} needs {needs[0]}; run pip install 'clipcli[{needs[1]}]', or use --format csv")
    return name


def check_output(output: str, *, overwrite: bool, resume: bool | None = None) -> None:
    """Raise `OutputExists`, `UsageError` or `OutputFailed` now rather than after an hour of work.

    `resume` says whether rows that are there are gone on with; `None` that nobody could.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with the rows there are, --overwrite starts anew; drop one of them")
    if resume and (output == STDOUT or _is_special(Path(output))):
        raise UsageError(f"--resume needs an output that can be read again, which {output} cannot; give --output FILE")
    if output == STDOUT:
        if sys.stdout is None:
            raise OutputFailed("standard output is closed; give --output FILE")
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"{output} is a folder; give a file")
    if _is_special(path):
        return
    if path.exists() and not overwrite and not resume:
        others = "" if resume is None else ", --resume to go on with its rows"
        raise OutputExists(f"{output} exists; give another --output{others}, or --overwrite to replace it")
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
    With fewer than `at_least` rows, those of the run that is resumed, everything is left as it was. Once the output is
    in place the files `superseded` are removed, but for those of runs that are alive.
    """

    def __init__(
        self,
        output: str,
        *,
        format: str,
        top_k: int,
        overwrite: bool = False,
        at_least: int = 0,
        superseded: Sequence[Path] = (),
    ) -> None:
        self._output = output
        self._overwrite = overwrite
        self._at_least = at_least
        self._superseded = superseded
        self._finish = WRITERS[format].finish
        self._rows = 0
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
        self._held = None if direct else hold(Path(self._part))

    def write(self, rows: Sequence[Row]) -> None:
        """Write and flush these rows. Raises `OutputFailed`."""
        try:
            self._writer.write(rows)
            self._rows += len(rows)
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
            if self._target is not None:
                self._end(Path(self._part), self._target)
        except OSError as e:
            # What was raised first says more, as on a full disk.
            if kind is None:
                raise self._failure(e) from None
        finally:
            if self._held is not None:
                os.close(self._held)

    def _end(self, part: Path, target: Path) -> None:
        if self._rows < self._at_least:
            part.unlink()
            return
        if self._failed:
            return
        if target.exists() and not self._overwrite:
            raise OutputExists(f"{self._output} was made by someone else meanwhile; the rows are in {part}")
        if self._finish is None:
            put_in_place(part, target)
        else:
            finished = part_of(target)
            try:
                self._finish(part, finished)
                put_in_place(finished, target)
            finally:
                finished.unlink(missing_ok=True)
            part.unlink()
        for path in self._superseded:
            if not is_held(path):
                path.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> OutputFailed:
        where, then = "", "start again"
        if self._target is not None:
            then = "go on with --resume"
            if self._rows >= self._at_least:
                where = f" (the rows so far are in {self._part})"
        return OutputFailed(f"cannot write {self._output}: {error.strerror}{where}; free some space and {then}")


def _is_special(path: Path) -> bool:
    """Whether this is there and is neither a file nor a folder: a device, or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
