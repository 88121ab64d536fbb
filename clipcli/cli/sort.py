"""`clipcli sort`."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.left_alone import left_alone
from clipcli.cli.signals import handle_stops
from clipcli.commands.sort.settings import PlanShown, SortSettings
from clipcli.events import FilesActedOn, result_of
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.sort.plan import Plan
    from clipcli.commands.sort.run import Sorted
    from clipcli.events import Event

EXAMPLES = (
    "clipcli sort predictions.csv --into sorted",
    "clipcli sort predictions.csv --into sorted --by move --folders '{label}/{year}' --apply",
)
# What is done to images, by each way.
_DONE = {"copy": "copied", "move": "moved", "hardlink": "hard-linked", "symlink": "linked"}


@flags_of(SortSettings, PlanShown)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Put labelled images into folders by their labels: at first as a plan only, and with --apply on the disk.

    Sidecars, RAW files and the videos of Live Photos go along. Nothing is ever replaced. Each step is in a journal in
    DIR before it is taken, from which clipcli undo brings all back; a run that was stopped goes on where it was.
    """
    settings, shown = settings_of(flags, terminal, SortSettings, PlanShown)
    if terminal.show_config:
        print(to_yaml(settings, shown), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display
    from clipcli.commands.sort.run import run

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, _handle_signals(display) as stop:
        try:
            done = result_of(run(settings, stop=stop.flag), show=stop.show)
        except KeyboardInterrupt:
            if not stop.flag.is_set():
                raise
            display.say(f"Stopped at once. The same command goes on; the journal to undo it is in {settings.into}.")
            return exit_codes.INTERRUPTED
    _print_plan(done.plan, all_files=shown.list)
    for line in _said(done, settings):
        display.say(line)
    if done.applied is None:
        return exit_codes.DONE
    if done.applied.stopped:
        return exit_codes.INTERRUPTED
    return exit_codes.SOME_SKIPPED if done.applied.failed or done.vanished else exit_codes.DONE


class _Stop:
    """A handler of Ctrl-C and its like: while files are acted on, the first ends it after the one in hand."""

    def __init__(self, display: Display) -> None:
        self.flag = threading.Event()
        self._display = display
        self._acting = False

    def show(self, event: Event) -> None:
        """Show an event, and notice when files are acted on."""
        self._acting = isinstance(event, FilesActedOn)
        self._display.show(event)

    def __call__(self, _: int, __: FrameType | None) -> None:
        if self.flag.is_set() or not self._acting:
            raise KeyboardInterrupt
        self.flag.set()
        self._display.say("Stopping after the file in hand. Ctrl-C again stops at once.")


@contextmanager
def _handle_signals(display: Display) -> Iterator[_Stop]:
    stop = _Stop(display)
    before = handle_stops(stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_plan(plan: Plan, *, all_files: bool) -> None:
    """Where each file goes, or how many images go to each folder, on standard output."""
    from clipcli.cli.columns import print_columns, printable

    if all_files:
        for action in plan.actions:
            print(f"{printable(action.source)}\t{printable(action.target)}")
    elif plan.folders:
        by_count = sorted(plan.folders.items(), key=lambda one: (-one[1], one[0]))
        print_columns([(f"{count:>7,}", printable(folder)) for folder, count in by_count])


def _said(done: Sorted, settings: SortSettings) -> Iterator[str]:
    """What will be done or was done, and how to go on."""
    plan, applied = done.plan, done.applied
    if plan.there:
        yield f"{_images(plan.there)} {'is where it belongs' if plan.there == 1 else 'are where they belong'} already."
    if not plan.actions:
        yield "Nothing is to be done."
        return
    what = _DONE[plan.by], _where(plan, settings.into)
    if applied is None:
        yield f"Plan: {_which(plan)} would be {' '.join(what)}. Nothing was done yet; --apply does it."
        return
    failed = [(one.file, one.reason) for one in applied.failed]
    yield from left_alone(failed, begin=f"Not {what[0]}", end=f"files were not {what[0]}")
    undo = f"clipcli undo {shlex.quote(os.path.join(settings.into, applied.journal.name))}"
    if applied.stopped:
        yield f"Stopped after {applied.done:,} of {len(plan.actions):,} files; the same command goes on from there."
        yield f"To bring back what was done: {undo}"
        return
    which = f"{applied.done:,} of {len(plan.actions):,} files" if applied.failed else _which(plan)
    yield f"Done: {which} {' '.join(what)}."
    yield f"To bring all back: {undo}"


def _which(plan: Plan) -> str:
    """The images of a plan, with the number of files and, where they are written, their size."""
    from clipcli.cli.columns import format_size

    count = len(plan.actions)
    size = f", {format_size(plan.size)}" if plan.size else ""
    return f"{_images(plan.images)} ({count:,} file{'' if count == 1 else 's'}{size})"


def _where(plan: Plan, into: str) -> str:
    folders = len(plan.folders)
    return f"into {folders:,} folder{'' if folders == 1 else 's'} of {into}"


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
