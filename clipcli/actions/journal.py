"""The journal of a command that acts on files: JSON Lines, one on the disk before each step and one after it.

The first line says which command began when, and in which folder. A step begins with its number, its kind and the paths
that it is about, and ends with its number as `done`; `undone` says that it was undone, and `end` that a run came to its
end. Whatever moment a run is killed at, the steps it may have taken are known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from clipcli.errors import BadFile, InputNotFound, OutputFailed, UsageError
from clipcli.files.atomic import part_of, rename_new, sync_folder
from clipcli.files.identity import state_of
from clipcli.files.locks import is_locked, lock_file
from clipcli.files.manifest import now
from clipcli.parsed import json_of
from clipcli.version import __version__

# The version of the journal's format. It changes when lines change.
VERSION = 1
_KEY = "clipcli_journal"
PREFIX = "clipcli-journal-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of one file or folder, the `target`. Paths are absolute.

    `kind` is a key of `clipcli.actions.undo.KINDS`, where it is said what each kind does with the other paths: what the
    target is made of, and the hidden `part` it has until it is whole. `former` are the bytes that it had before,
    compressed, or `kept` is the file that holds them; of a target that is replaced, without those at the beginning and
    at the end that are the `same`, as many as that says. `sha256` is the hash of its new bytes, and `state` what
    `state_of` gives for the source, or for a target that is replaced or removed.
    """

    kind: str
    target: str
    source: str | None = None
    part: str | None = None
    kept: str | None = None
    former: str | None = None
    same: tuple[int, ...] | None = None
    sha256: str | None = None
    state: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was begun. `after` is the target's state after it, `None` if the end of the step is not known."""

    step: Step
    after: tuple[int, ...] | None = None
    is_done: bool = False
    is_undone: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What a journal says: the command, its working folder, the steps by number, and if the run came to its end.

    If the folder that the journal is in was renamed, the paths below it are the present ones.
    """

    path: Path
    command: str
    folder: str
    begun: str
    steps: Mapping[int, Taken]
    has_ended: bool


class Journal:
    """A journal that is open to write, and locked; a context manager."""

    def __init__(self, path: Path, stream: BinaryIO, *, last: int = 0) -> None:
        self.path = path
        self._stream, self._last = stream, last
        self._lock = lock_file(path)

    @classmethod
    def create(cls, folder: Path, *, command: str) -> Journal:
        """Begin a new journal in a folder that is there: `clipcli-journal-TIME.jsonl`. Raises `OutputFailed`."""
        begun = datetime.now(UTC)
        name = f"{PREFIX}{begun:%Y%m%d-%H%M%S}"
        names = (f"{name}{f'-{n}' if n > 1 else ''}.jsonl" for n in count(1))
        path = next(path for path in map(folder.joinpath, names) if not path.exists())
        header = {_KEY: VERSION, "clipcli": __version__, "command": command, "begun": begun.isoformat()}
        header |= {"folder": os.getcwd(), "place": os.path.abspath(folder)}
        part = part_of(path)
        try:
            for left in folder.glob(f".{PREFIX}*.part"):
                # A kill left it.
                left.unlink(missing_ok=True)
            # Under its own name it is never without its first line.
            with part.open("xb") as stream:
                stream.write(_line(header))
                stream.flush()
                os.fsync(stream.fileno())
            rename_new(str(part), str(path))
            sync_folder(folder)
            return cls(path, path.open("ab", buffering=0))
        except OSError as e:
            part.unlink(missing_ok=True)
            raise OutputFailed(f"cannot write the journal {path}: {e.strerror}; nothing was done") from None

    @classmethod
    def go_on(cls, record: Record) -> Journal:
        """Go on with a journal. A last line that a kill cut short is removed.

        Raises `UsageError` while another run writes it, and `OutputFailed` if it cannot be written.
        """
        path = record.path
        try:
            if is_locked(path):
                raise UsageError(f"another run is writing {path}; wait for its end")
            data = path.read_bytes()
            stream = path.open("r+b", buffering=0)
        except OSError as e:
            raise OutputFailed(f"cannot write the journal {path}: {e.strerror}; check its permissions") from None
        stream.truncate(data.rfind(b"\n") + 1)
        stream.seek(0, os.SEEK_END)
        return cls(path, stream, last=max(record.steps, default=0))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._sync()
        self._stream.close()
        if self._lock is not None:
            os.close(self._lock)

    def take(self, step: Step, act: Callable[[], object]) -> None:
        """Take a step: it is on the disk before `act` is called, and that it is done before the next one begins.

        Raises what `act` raises; the step then counts as begun. Raises `OSError` if the journal cannot be written.
        """
        self._last += 1
        self._write({"step": self._last, **_values(step)})
        self._sync()
        act()
        done: dict[str, Any] = {"done": self._last}
        with suppress(OSError):
            done["after"] = state_of(step.target)
        # It gets to the disk with the beginning of the next step, or at the end: a kill of this process loses nothing
        # that was written.
        self._write(done)

    def undone(self, number: int) -> None:
        """Note that a step was undone."""
        self._write({"undone": number})

    def end(self) -> None:
        """Note that the run came to its end."""
        self._write({"end": now()})

    def _write(self, line: Mapping[str, Any]) -> None:
        data = _line(line)
        while data:
            data = data[self._stream.write(data) or 0 :]

    def _sync(self) -> None:
        os.fsync(self._stream.fileno())


def journals_in(folder: Path, *, command: str | None = None) -> list[Record]:
    """The journals in a folder, of one command or of all, in the order in which they were begun.

    A file that is none is passed over.
    """
    found = []
    for path in sorted(folder.glob(f"{PREFIX}*.jsonl")):
        with suppress(BadFile, InputNotFound):
            found.append(read_journal(path))
    return sorted((one for one in found if command in (None, one.command)), key=lambda record: record.begun)


def read_journal(path: Path) -> Record:
    """Read a journal; a last line that a kill cut short is passed over.

    Raises `InputNotFound` if it cannot be read, and `BadFile` if it is no journal, or one of another version.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror or e}; give a {PREFIX}….jsonl") from None
    try:
        header, *rest = map(json_of, lines)
        if header[_KEY] != VERSION:
            raise BadFile(f"{path} is a journal of another version of clipcli ({header['clipcli']}); use that one")
        steps, has_ended = _steps(rest, _Moved(header["place"], os.path.abspath(path.parent)))
        return Record(path, header["command"], header["folder"], header["begun"], steps, has_ended)
    except (ValueError, KeyError, TypeError):
        raise BadFile(f"{path} is no journal of clipcli; give a {PREFIX}….jsonl") from None


@dataclass(frozen=True, slots=True)
class _Moved:
    """The folder that the journal was begun in, and the one that it is in: it may have been renamed."""

    before: str
    now: str

    def path(self, text: str) -> str:
        """The path that a path in the journal has now."""
        is_below = self.before != self.now and text.startswith(os.path.join(self.before, ""))
        return self.now + text[len(self.before) :] if is_below and not os.path.exists(self.before) else text


def _steps(lines: list[dict[str, Any]], moved: _Moved) -> tuple[dict[int, Taken], bool]:
    """The steps that these lines tell of, and if there is an end after the last of them."""
    steps: dict[int, Taken] = {}
    has_ended = False
    for line in lines:
        has_ended = "end" in line or ("step" not in line and has_ended)
        if "step" in line:
            number = line.pop("step")
            steps[number] = Taken(_step(line, moved))
        elif "done" in line:
            after = tuple(line["after"]) if "after" in line else None
            steps[line["done"]] = replace(steps[line["done"]], after=after, is_done=True)
        elif "undone" in line:
            steps[line["undone"]] = replace(steps[line["undone"]], is_undone=True)
    return steps, has_ended


def _line(content: Mapping[str, Any]) -> bytes:
    """One line. Bytes of names that are not UTF-8 are JSON escapes."""
    return json.dumps(content).encode("ascii") + b"\n"


def _values(step: Step) -> dict[str, Any]:
    values = {field.name: getattr(step, field.name) for field in fields(step)}
    return {name: value for name, value in values.items() if value is not None}


def _step(values: Mapping[str, Any], moved: _Moved) -> Step:
    """The step with these values. Raises `TypeError` if they are those of no step."""
    paths = {name: moved.path(values[name]) for name in ("target", "source", "part", "kept") if name in values}
    numbers = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Step(**{**values, **paths, **numbers})
