"""`clipcli train`, whose flags are the fields of `TrainConfig`."""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipcli.cli import options
from clipcli.cli.classify import INTERRUPTED, SOME_SKIPPED
from clipcli.commands.train.config_file import gathered, to_yaml
from clipcli.commands.train.settings import FIELDS, flag
from clipcli.events import StepDone, result_of

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.train.run import Trained
    from clipcli.events import Event

_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}


def command(
    *,
    config: str | None,
    resume: bool,
    show_config: bool,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> int:
    """Train a model on images with captions, or on a folder per class: fine-tune --model, or pretrain --arch.

    RUN gets checkpoints, metrics and a report, and in the end the model, for classify --model RUN. Ctrl-C saves a
    checkpoint, and --resume goes on from it. With torchrun in front, all its processes train one model.
    """
    flags = {name: value for name, value in given.items() if value is not None and value != []}
    settings = gathered(flags, file=config, resume=resume)
    if show_config and not settings.data:
        from clipcli.commands.train.defaults import without_lengths

        print(to_yaml(without_lengths(settings)), end="")
        return 0
    from clipcli.cli.train_display import TrainDisplay

    leads = os.environ.get("RANK", "0") == "0"
    with TrainDisplay(quiet=quiet or not leads, verbose=verbose) as display:
        from clipcli.commands.train.run import resolved, run

        if show_config:
            print(to_yaml(result_of(resolved(settings), show=display.show)[0]), end="")
            return 0
        with _stoppable(display) as stop:
            try:
                trained = result_of(run(settings, resume=resume, stop=stop.flag), show=stop.show)
            except KeyboardInterrupt:
                display.say(f"Stopped at once. Go on from the last checkpoint: {_how_to_go_on(settings.output)}")
                return INTERRUPTED
    _tell(trained, display)
    if trained.step < trained.steps:
        return INTERRUPTED
    # torchrun takes any code but 0 for a crash.
    return SOME_SKIPPED if trained.skipped and "WORLD_SIZE" not in os.environ else 0


class _Stop:
    """Ctrl-C and SIGTERM while steps are taken: the first saves and ends, the second ends at once."""

    def __init__(self, display: Display) -> None:
        self.flag = threading.Event()
        self._display = display
        self._stepping = False

    def show(self, event: Event) -> None:
        """Render an event, and notice when the steps begin."""
        if isinstance(event, StepDone):
            # After the last step only what is computed anew can be lost.
            self._stepping = event.step < event.steps
        self._display.show(event)

    def __call__(self, _: int, __: FrameType | None) -> None:
        if self.flag.is_set() or not self._stepping:
            raise KeyboardInterrupt
        self.flag.set()
        self._display.say("Stopping: a checkpoint is saved first. Ctrl-C again stops at once.")


@contextmanager
def _stoppable(display: Display) -> Iterator[_Stop]:
    stop = _Stop(display)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(trained: Trained, display: Display) -> None:
    from clipcli.backbones import bundled

    if trained.skipped:
        display.say(f"{trained.skipped:,} pairs were skipped; {trained.folder / 'skipped.csv'} says why.")
    if trained.cut_captions:
        display.say(
            f"{trained.cut_captions:,} captions that were drawn are longer than the model's context, and were cut."
        )
    if trained.step < trained.steps:
        display.say(f"Stopped after step {trained.step:,} of {trained.steps:,}.")
        display.say(f"Go on: {_how_to_go_on(trained.folder)}")
        return
    display.say(f"{trained.folder}: {trained.step:,} steps done; look at {trained.folder / 'report.html'}")
    display.say(f"Use it: clipcli classify PHOTOS --labels FILE --model {bundled.as_path(trained.folder)}")


def _how_to_go_on(run: object) -> str:
    return f"clipcli train --resume --output {run}"


def _parameter(name: str, field: Field[Any]) -> inspect.Parameter:
    """A field of the configuration as a parameter that typer makes a flag of; `None` means that it was not given."""
    stated = field.metadata
    kind = str(field.type).removesuffix(" | None")
    if kind.startswith("tuple"):
        argument = typer.Argument(metavar=f"{stated['metavar']}...", help=stated["help"], show_default=False)
        return _keyword(name, Annotated[list[str] | None, argument])
    notes = [stated["help"]]
    if stated["choices"]:
        notes.append(f"One of: {', '.join(stated['choices'])}.")
    if field.default is not None and field.default is not False:
        notes.append(f"[default: {field.default}]")
    names = [f"{flag(name)}/--no-{flag(name)[2:]}" if kind == "bool" else flag(name)]
    names += ["-o"] if name == "output" else []
    metavar = None if kind == "bool" else stated["metavar"] or {"int": "N", "float": "X"}.get(kind, name.upper())
    option = typer.Option(*names, metavar=metavar, help=" ".join(notes), show_default=False)
    return _keyword(name, Annotated[_TYPES[kind] | None, option])


def _keyword(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_Config = Annotated[str | None, typer.Option(metavar="FILE", help="Settings in a .yaml file; flags override it.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output, from its last checkpoint.")]
_Show = Annotated[bool, typer.Option("--show-config", help="Print all settings as they would be, and end.")]

# One list of settings serves the flags, the file and the API; typer reads the flags off the signature.
command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        *(_parameter(name, field) for name, field in FIELDS.items()),
        _keyword("config", _Config),
        _keyword("resume", _Resume, False),
        _keyword("show_config", _Show, False),
        _keyword("quiet", options.Quiet, False),
        _keyword("verbose", options.Verbose, False),
    ],
    return_annotation=int,
)
