"""Undoes what a command did to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.journal import read_journal
from clipcli.actions.undo import Undone, undo_steps
from clipcli.commands.undo.settings import UndoSettings
from clipcli.events import Event, FilesActedOn, result_of
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
