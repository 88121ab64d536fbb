"""Undoes what a command did to files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
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

    `before` is the number of steps that were undone by an earlier call. A folder that was not removed because of a file
    that was left in it is not among those left.
    """

    undone: Mapping[str, int]
    left: tuple[Undone, ...]
    before: int


@api(UndoSettings)
def undo(settings: UndoSettings, show: Show) -> UndoResult:
    """Bring back what a command did to files, from its journal: also if it was stopped or killed in the middle.

    `journals` is one or several, of which the newest is undone first. What somebody changed since is neither removed
    nor replaced: it is in `left` of the result, with the reason. A call that was killed may be made again.

    Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show)


def run(options: UndoSettings) -> Generator[Event, None, UndoResult]:
    """As `undo`, with its events. All journals are read before anything is done."""
    records = sorted(_different(options.journals), key=_age, reverse=True)
    for later, first in _later(records):
        than = f"was begun later than {first.path}, and may be about the same files"
        yield Warned(f"{later.path} {than}; undo that one first, or give both")
    before = sum(taken.is_undone for record in records for taken in record.steps.values())
    count = sum(len(record.steps) for record in records) - before
    undone: Counter[str] = Counter()
    left: list[Undone] = []
    steps = (one for record in records for one in undo_steps(record))
    for number, one in enumerate(steps, 1):
        if one.left is not None:
            left.append(one)
        elif one.did:
            undone[one.step.kind] += 1
        yield FilesActedOn(number, count)
    return UndoResult(undone, _each_once(left), before)


def _different(journals: Sequence[str]) -> list[Record]:
    """The records of journals, each once."""
    return list({os.path.realpath(path): read_journal(Path(path)) for path in journals}.values())


def _age(record: Record) -> tuple[str, Path]:
    return record.begun, record.path


def _later(records: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """The journals beside these that were begun later, are not among them and have something to undo."""
    given = {os.path.realpath(record.path) for record in records}
    for record in records:
        for one in journals_in(record.path.parent):
            to_undo = any(taken.is_done and not taken.is_undone for taken in one.steps.values())
            if to_undo and _age(one) > _age(record) and os.path.realpath(one.path) not in given:
                given.add(os.path.realpath(one.path))
                yield one, record


def _each_once(left: Sequence[Undone]) -> tuple[Undone, ...]:
    """What was left, without the folders that were left because of it, and each path once."""
    by_path = {one.step.target: one for one in reversed(left)}
    holding = {str(folder) for path in by_path for folder in Path(path).parents}
    return tuple(
        one for one in reversed(by_path.values()) if one.step.kind != "folder" or one.step.target not in holding
    )
