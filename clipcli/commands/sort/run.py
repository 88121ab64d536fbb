"""Sorts images into folders by their labels: makes the plan, and carries it out."""

from __future__ import annotations

import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.journal import Record, journals_in
from clipcli.actions.labelled import read_labelled
from clipcli.actions.undo import settle
from clipcli.commands.sort.apply import Applied, apply_plan
from clipcli.commands.sort.pattern import read_pattern
from clipcli.commands.sort.photos import check_labels, note_changes, note_outside, photos_of
from clipcli.commands.sort.plan import Plan, existing_folder, make_plan
from clipcli.commands.sort.settings import SortSettings
from clipcli.errors import OutputFailed, UsageError
from clipcli.events import Event, Warned, result_of
from clipcli.notices import Notices
from clipcli.settings import Show, api


@dataclass(frozen=True, slots=True)
class Sorted:
    """The plan, the paths of images that have `vanished`, and what was done.

    `applied` is `None` if nothing was to be done, or only the plan was wanted.
    """

    plan: Plan
    vanished: tuple[str, ...]
    applied: Applied | None = None


@api(SortSettings)
def sort(settings: SortSettings, show: Show) -> Sorted:
    """Put the images of an output of `classify` into folders by their labels.

    Without `apply` nothing is touched: `plan` of the result says what would go where. With it, each step is in a
    journal before it is taken, and `clipcli.undo(result.applied.journal)` brings all back. What an earlier call has
    done is not done again.

    Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show)


def run(options: SortSettings, *, stop: threading.Event | None = None) -> Generator[Event, None, Sorted]:
    """As `sort`, with its events. Once `stop` is set, it ends after the file in hand."""
    pattern = read_pattern(options.folders)
    if os.path.lexists(options.into) and not os.path.isdir(options.into):
        raise UsageError(f"--into {options.into} is no folder; give another")
    notices = Notices()
    folder = Path(options.into)
    if options.apply:
        settle(folder, command=options.command)
    records = journals_in(folder, command=options.command)
    earlier, moved = _earlier(records, options.by)
    output = read_labelled(options.predictions, notices)
    photos, gone = photos_of(output, options, moved, notices)
    check_labels(photos, options)
    note_outside(photos, output, notices)
    note_changes(photos, output, notices)
    plan = make_plan(photos, pattern, options, earlier=earlier, notices=notices)
    yield from notices.events()
    lack = plan.size - shutil.disk_usage(existing_folder(plan.into)).free
    if lack > 0:
        message = f"{plan.into} needs {-(-lack // 10**6):,} MB more than there are free"
        if options.apply:
            raise OutputFailed(f"{message}; nothing was done")
        yield Warned(message)
    if not options.apply or not plan.actions:
        return Sorted(plan, gone)
    unfinished = records[-1] if records and not records[-1].has_ended else None
    return Sorted(plan, gone, (yield from apply_plan(plan, unfinished, stop or threading.Event())))


def _earlier(records: Sequence[Record], by: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The paths to which earlier runs brought each file in this way, and the one to which they moved it."""
    brought: dict[str, list[str]] = defaultdict(list)
    moved: dict[str, str] = {}
    for record in records:
        for taken in record.steps.values():
            step = taken.step
            if step.source is None or not taken.is_done or taken.is_undone:
                continue
            if step.kind == "move":
                moved[step.source] = step.target
            if step.kind == by:
                brought[step.source].append(step.target)
    return brought, moved
