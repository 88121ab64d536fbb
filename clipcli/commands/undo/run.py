"""Undoes what a command did to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.journal import Record, journals_in, read_journal
from clipcli.actions.undo import Undone, undo_steps
from clipcli.commands.undo.settings import UndoSettings
from clipcli.events import Event, FilesActedOn, Warned, result_of
from clipcli.settings import Show, api


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What was undone: the number of steps by kind, and the `left` ones, which could not be undone without harm.

    `before` is the number of steps that were undone by an earlier call.
    """

    undone: Mapping[str, int]
    left: tuple[Undone, ...]
    before: int


@api(UndoSettings)
def undo(settings: UndoSettings, show: Show) -> UndoResult:
    """Bring back what a command did to files, from its `journal`: also if it was stopped or killed in the middle.

    What somebody changed since is neither removed nor replaced: it is in `left` of the result, with the reason. A call
    that was killed may be made again.

    Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show)


def run(options: UndoSettings) -> Generator[Event, None, UndoResult]:
    """As `undo`, with its events."""
    record = read_journal(Path(options.journal))
    for later in _later(record):
        yield Warned(f"{later.path} was begun later, and may be about the same files; undo that one first")
    before = sum(taken.is_undone for taken in record.steps.values())
    undone: Counter[str] = Counter()
    left: list[Undone] = []
    for number, one in enumerate(undo_steps(record), 1):
        if one.left is not None:
            left.append(one)
        elif one.did:
            undone[one.step.kind] += 1
        yield FilesActedOn(number, len(record.steps) - before)
    return UndoResult(undone, tuple(left), before)


def _later(record: Record) -> list[Record]:
    """The journals beside this one that were begun later and have something to undo."""
    later = [one for one in journals_in(record.path.parent) if (one.begun, one.path) > (record.begun, record.path)]
    return [one for one in later if any(taken.is_done and not taken.is_undone for taken in one.steps.values())]
