"""Carries out a plan of `sort`, with a journal."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.failed import FULL, Failed, reason_of
from clipcli.actions.files import copy_file, move_file, write_file
from clipcli.actions.journal import Journal, Record, Step
from clipcli.commands.sort.plan import Action, Plan
from clipcli.data.reference import read
from clipcli.errors import OutputFailed
from clipcli.events import Event, FilesActedOn
from clipcli.files.identity import state_of


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: the journal, the number of files that are in place, those that failed, and if it was stopped."""

    journal: Path
    done: int
    failed: tuple[Failed, ...]
    stopped: bool


class _NotActed(Exception):
    """An action failed; the cause is the reason."""


def apply_plan(plan: Plan, record: Record | None, stop: threading.Event) -> Generator[Event, None, Applied]:
    """Carry out a plan, until `stop` is set between two files; with a `record`, go on in its journal.

    Raises `OutputFailed` if there is no more space, or the folder or the journal cannot be written.
    """
    done = n = 0
    failed: list[Failed] = []
    try:
        os.makedirs(plan.into, exist_ok=True)
        with Journal.go_on(record) if record else Journal.create(Path(plan.into), command="sort") as journal:
            yield FilesActedOn(0, len(plan.actions))
            for n, action in enumerate(plan.actions, 1):
                if stop.is_set():
                    return Applied(journal.path, done, tuple(failed), stopped=True)
                try:
                    _take(action, journal)
                    done += 1
                except _NotActed as e:
                    failed.append(Failed(action.source, str(e)))
                yield FilesActedOn(n, len(plan.actions))
            journal.end()
    except OSError as e:
        before = f"; {done:,} of {len(plan.actions):,} files were done before, and their journal is in {plan.into}"
        raise OutputFailed(f"cannot write in {plan.into}: {e.strerror or e}{before if n else ''}") from None
    return Applied(journal.path, done, tuple(failed), stopped=False)


def _take(action: Action, journal: Journal) -> None:
    """Carry out one action. Raises `_NotActed` if it fails alone, and `OSError` if all would."""
    folder = os.path.dirname(action.target)
    data = sha256 = state = None
    try:
        if action.reference is not None:
            data = read(action.reference)
            sha256 = hashlib.sha256(data).hexdigest()
        if action.kind != "symlink":
            state = state_of(action.source)
    # An archive's reader may raise nearly any exception.
    except Exception as e:
        raise _NotActed(reason_of(e)) from e
    _make_folder(folder, journal)
    part = os.path.join(folder, f".clipcli-{secrets.token_hex(4)}.part")
    step = Step(kind=action.kind, target=action.target, source=action.source, part=part, sha256=sha256, state=state)
    journal.take(step, lambda: _acted(lambda: _ACTS[action.kind](action, part, data)))


def _make_folder(folder: str, journal: Journal) -> None:
    if os.path.isdir(folder):
        return
    _make_folder(os.path.dirname(folder), journal)
    journal.take(Step(kind="folder", target=folder), lambda: _acted(lambda: os.mkdir(folder)))


def _acted(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as e:
        if e.errno in FULL:
            raise
        raise _NotActed(reason_of(e)) from e


def _copy(action: Action, part: str, _: bytes | None) -> None:
    copy_file(action.source, action.target, part=part)


def _move(action: Action, part: str, _: bytes | None) -> None:
    move_file(action.source, action.target, part=part)


def _hardlink(action: Action, _: str, __: bytes | None) -> None:
    # Of a link, the file that it leads to.
    os.link(os.path.realpath(action.source), action.target)


def _symlink(action: Action, _: str, __: bytes | None) -> None:
    os.symlink(action.source, action.target)


def _write(action: Action, part: str, data: bytes | None) -> None:
    write_file(data or b"", action.target, part=part)


# What is done for each kind of action, with the hidden name for a part and the bytes that are taken out of an archive.
_ACTS: dict[str, Callable[[Action, str, bytes | None], None]] = {
    "copy": _copy,
    "move": _move,
    "hardlink": _hardlink,
    "symlink": _symlink,
    "write": _write,
}
