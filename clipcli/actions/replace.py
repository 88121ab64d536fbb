"""Replaces and removes files with a way back: their former bytes are kept, of a replaced file those that change."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from clipcli.actions.files import removing, write_file
from clipcli.actions.journal import Journal, Step
from clipcli.files.atomic import part_of, sync_folder
from clipcli.files.identity import state_of

# What is longer, compressed, is kept in a file of its own.
_IN_JOURNAL = 1 << 14


class Keeper:
    """Changes files, and keeps what they were: in the journal, or beside it in `clipcli-journal-TIME.kept/`."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.folder = journal.path.with_suffix(".kept")
        self._names = (f"{n:06}" for n in count(1))

    def write(self, target: str, data: bytes) -> None:
        """Write a new file. Raises `FileExistsError` and `OSError`."""
        path = Path(target).absolute()
        part = str(part_of(path))
        step = Step(kind="write", target=str(path), part=part, sha256=_sha256(data))
        self.journal.take(step, lambda: write_file(data, str(path), part=part))

    def replace(self, target: str, data: bytes, *, former: bytes, keep_time: bool = False) -> None:
        """Replace the bytes of a file, which are `former`; with `keep_time` it keeps the time of its last change.

        Of a link the file is replaced that it leads to. Raises `OSError`, also if the file has changed meanwhile; it is
        then as it was.
        """
        path = Path(target).resolve()
        before, after = _same_ends(former, data)
        state = state_of(path)
        _check(path, former)
        in_journal, kept = self._keep(former[before : len(former) - after])
        step = Step(
            kind="replace",
            target=str(path),
            part=str(part_of(path)),
            same=(before, after),
            sha256=_sha256(data),
            state=state,
            former=in_journal,
            kept=kept,
        )
        self.journal.take(step, lambda: put(data, step, time=_time(step) if keep_time else None))

    def remove(self, target: str, *, former: bytes) -> None:
        """Remove a file, whose bytes are `former`. Raises `OSError`, also if the file has changed meanwhile."""
        path = Path(target).absolute()
        state = state_of(path)
        _check(path, former)
        part, (in_journal, kept) = str(part_of(path)), self._keep(former)
        step = Step(kind="remove", target=str(path), part=part, state=state, former=in_journal, kept=kept)
        self.journal.take(step, lambda: os.unlink(path))

    def _keep(self, data: bytes) -> tuple[str | None, str | None]:
        """Keep bytes: what becomes `former` and `kept` of a step."""
        compressed = zlib.compress(data)
        if len(compressed) <= _IN_JOURNAL:
            return b64encode(compressed).decode("ascii"), None
        self.folder.mkdir(exist_ok=True)
        path = self.folder / next(self._names)
        write_file(data, str(path), part=str(part_of(path)))
        sync_folder(self.folder)
        return None, str(path)


def put_back(step: Step) -> bool:
    """Give a file that a step replaced its former bytes and their time; false if it has them.

    Raises `ValueError` if it has neither those of the step nor its former ones, and `OSError`.
    """
    data, former = Path(step.target).read_bytes(), _former(step)
    before, after = step.same or (0, 0)
    if _sha256(data) != step.sha256:
        if len(data) == before + len(former) + after and data[before : len(data) - after] == former:
            return False
        raise ValueError(step.target)
    put(data[:before] + former + data[len(data) - after :], step, time=_time(step))
    return True


def bring_back(step: Step) -> bool:
    """Make a file that a step removed anew, with its time; false if it is there.

    Raises `ValueError` if another is in its place, and `OSError`.
    """
    former, time = _former(step), _time(step)
    is_missing = not os.path.lexists(step.target)
    if is_missing:
        write_file(former, step.target, part=str(step.part))
    elif Path(step.target).read_bytes() != former:
        raise ValueError(step.target)
    if time is not None:
        os.utime(step.target, ns=(time, time))
    return is_missing


def put(data: bytes, step: Step, *, time: int | None) -> None:
    """Replace the target's bytes at once, under the name `part` first. `time` is that of its last change, in ns."""
    part, stat = str(step.part), os.stat(step.target)
    with removing(part):
        with open(part, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(step.target, part)
        with suppress(OSError, AttributeError):
            os.chown(part, stat.st_uid, stat.st_gid)
        if time is not None:
            os.utime(part, ns=(stat.st_atime_ns, time))
        os.replace(part, step.target)


def _check(path: Path, former: bytes) -> None:
    """Raise `OSError` if a file has other bytes."""
    if path.read_bytes() != former:
        raise OSError(errno.EBUSY, "it changed meanwhile", str(path))


def _former(step: Step) -> bytes:
    """The bytes that were kept. Raises `OSError`."""
    return Path(str(step.kept)).read_bytes() if step.former is None else zlib.decompress(b64decode(step.former))


def _time(step: Step) -> int | None:
    """The time of the file before the step, as `state_of` gives it."""
    return None if step.state is None else step.state[1]


def _same_ends(one: bytes, other: bytes) -> tuple[int, int]:
    """How many bytes at the beginning and at the end are the same; no byte counts for both."""
    shorter = min(len(one), len(other))
    before = _longest(shorter, lambda n: one[:n] == other[:n])
    after = _longest(shorter - before, lambda n: one[len(one) - n :] == other[len(other) - n :])
    return before, after


def _longest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, where all below it fit as well."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
