"""`clipcli train`."""

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
from clipcli.cli.flags import FlagValues, Terminal, flags_of, keep_from_network
from clipcli.cli.garbage import Show, pause_collector
from clipcli.cli.signals import handle_stops
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.settings import TrainRequest
from clipcli.events import StepDone, result_of
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.train.run import Trained
    from clipcli.events import Event


EXAMPLES = (
    "clipcli train photos-by-class --model tiny -o run",
    "clipcli train captions.csv --model tiny --epochs 2 --val held-out.csv -o run",
)


@flags_of(TrainRequest)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Train a model on images with captions, or on a folder per class: fine-tune --model, or pretrain --arch.

    RUN gets checkpoints, metrics and a report, and in the end the model, for classify --model RUN. Ctrl-C saves a
    checkpoint, and --resume goes on from it. With torchrun in front, all its processes train one model.
    """
    resume = bool(flags.pop("resume", False))
    config = gather_config(flags, file=terminal.config, resume=resume)
    keep_from_network(config)
    if terminal.show_config and not config.data:
        from clipcli.commands.train.defaults import without_lengths

        print(to_yaml(without_lengths(config)), end="")
        return exit_codes.DONE
    from clipcli.cli.train_display import TrainDisplay

    quiet = terminal.quiet or os.environ.get("RANK", "0") != "0"
    with TrainDisplay(quiet=quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.train.defaults import is_open
        from clipcli.commands.train.run import resolved, run

        if terminal.show_config:
            print(to_yaml(result_of(resolved(config), show=show)[0]), end="")
            if is_open(config):
                display.say("The rate, what learns and how long are chosen by measurement when the run begins.")
            return exit_codes.DONE
        with _handle_signals(display, show) as stop:
            try:
                trained = result_of(run(config, resume=resume, stop=stop.flag), show=stop.show)
            except KeyboardInterrupt:
                display.say(f"Stopped at once. Go on from the last checkpoint: {_how_to_go_on(config.output)}")
                return exit_codes.INTERRUPTED
    _say_result(trained, display)
    if trained.step < trained.steps:
        return exit_codes.INTERRUPTED
    # torchrun takes any code but 0 for a crash.
    return exit_codes.SOME_SKIPPED if trained.skipped and "WORLD_SIZE" not in os.environ else exit_codes.DONE


class _Stop:
    """A handler of Ctrl-C and its like: while steps are taken, the first saves and ends, the second ends at once."""

    def __init__(self, display: Display, show: Show) -> None:
        self.flag = threading.Event()
        self._display, self._show = display, show
        self._stepping = False

    def show(self, event: Event) -> None:
        """Show an event, and notice when the steps begin and end."""
        if isinstance(event, StepDone):
            # After the last step, to stop at once loses only what --resume computes again.
            self._stepping = event.step < event.steps
        self._show(event)

    def __call__(self, _: int, __: FrameType | None) -> None:
        if self.flag.is_set() or not self._stepping:
            raise KeyboardInterrupt
        self.flag.set()
        self._display.say("Stopping: a checkpoint is saved first. Ctrl-C again stops at once.")


@contextmanager
def _handle_signals(display: Display, show: Show) -> Iterator[_Stop]:
    """Handle Ctrl-C and its like by a `_Stop`, until the end of the context."""
    stop = _Stop(display, show)
    before = handle_stops(stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_result(trained: Trained, display: Display) -> None:
    """Say what was kept, what was skipped or cut, and how to go on with the run or use its model."""
    from clipcli.backbones import bundled
    from clipcli.commands.train.checkpoints import checkpoints_in

    for sentence in filter(None, (trained.kept, trained.verdict)):
        display.say(sentence, style="bold red" if trained.worse else "")
    if trained.skipped:
        display.say(f"{trained.skipped:,} pairs were skipped; {trained.folder / 'skipped.csv'} says why.")
    if trained.cut_captions:
        display.say(
            f"{trained.cut_captions:,} captions that were drawn are longer than the model's context, and were cut."
        )
    if trained.step < trained.steps:
        display.say(f"Stopped after step {trained.step:,} of {trained.steps:,}.")
        display.say(f"Go on: {_how_to_go_on(trained.folder)}")
        display.say(f"The model so far: --model {checkpoints_in(trained.folder)[-1].folder}")
        return
    display.say(f"{trained.folder}: {trained.step:,} steps done; look at {trained.folder / 'report.html'}")
    if trained.collapsed:
        display.say(
            "The run has collapsed: its model gives all images the same label. Train anew, as was warned above."
        )
        return
    display.say(
        f"Use it: clipcli classify PHOTOS --labels LABELS --model {shlex.quote(bundled.as_path(trained.folder))}"
    )


def _how_to_go_on(run: object) -> str:
    return f"clipcli train --resume --output {shlex.quote(str(run))}"
