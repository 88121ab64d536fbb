"""The command line: parses flags, calls a command, renders its events.

There is one file per command; this one runs them and reports errors.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import typer

from clipcli.cli import clock, completion, exit_codes
from clipcli.cli.columns import printable
from clipcli.cli.flags import Command
from clipcli.cli.help import HELP_FLAGS, Group, GroupedCommand
from clipcli.cli.signals import expect_stops, say_unraisable
from clipcli.cli.words import close_standard_output, take_standard_error
from clipcli.errors import ClipcliError, is_out_of_memory

# The commands with their modules.
COMMANDS = {
    "classify": "clipcli.cli.classify",
    "merge": "clipcli.cli.merge",
    "build-classifier": "clipcli.cli.build_classifier",
    "calibrate": "clipcli.cli.calibrate",
    "adapt": "clipcli.cli.adapt",
    "evaluate": "clipcli.cli.evaluate",
    "review": "clipcli.cli.review",
    "train": "clipcli.cli.train",
    "convert": "clipcli.cli.convert",
    "labels": "clipcli.cli.labels",
    "sort": "clipcli.cli.sort",
    "tag": "clipcli.cli.tag",
    "undo": "clipcli.cli.undo",
    "find": "clipcli.cli.find",
    "embed": "clipcli.cli.embed",
    "models": "clipcli.cli.models",
    "prompts": "clipcli.cli.prompts",
    "cache": "clipcli.cli.cache",
}


EXAMPLES = (
    "clipcli classify photos --labels 'cat, dog, a red car' --model tiny",
    "clipcli evaluate photos-by-class --model tiny",
)


def command_of(name: str) -> Callable[..., Any]:
    """The command of this name, which is imported only now: its settings need not be read to run another."""
    command: Callable[..., Any] = importlib.import_module(COMMANDS[name]).command
    return command


def app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The typer application with the commands of these names."""
    application = typer.Typer(
        name="clipcli",
        # `completion` has it: typer's flags for it would cost each --help a third of its time.
        add_completion=False,
        cls=Group,
        epilog="\n".join(EXAMPLES),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    application.callback(add_help_option=False)(_root)
    for name in names:
        module = importlib.import_module(COMMANDS[name])
        command, epilog = module.command, "\n".join(module.EXAMPLES)
        decorate = application.command(name, cls=GroupedCommand, epilog=epilog, context_settings=HELP_FLAGS)
        decorate(_stoppable(command.function() if isinstance(command, Command) else command))
    return application


class _Stopped(Exception):
    """Ctrl-C came, which typer would make an exit without a word."""


def _stoppable(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, for typer, with signals to stop answered from its start on."""

    @functools.wraps(command)
    def run(**flags: Any) -> Any:
        try:
            expect_stops()
            return command(**flags)
        except KeyboardInterrupt:
            raise _Stopped from None

    return run


def main(arguments: Sequence[str] | None = None, *, began: float | None = None) -> None:
    """Run the command line and exit with its code, one of `exit_codes`. It `began` now, or at that moment."""
    clock.begin(began)
    arguments = sys.argv[1:] if arguments is None else arguments
    verbose = any(a == "--verbose" or (a[:1] == "-" and a[1:2] != "-" and "v" in a) for a in arguments)
    # Libraries warn about their own matters, and Pillow without a file's name; stderr is for what the user can act on.
    warnings.filterwarnings("ignore", module=r"PIL\." if verbose else "")
    # The hub's client reports its retries on stderr; our own error says how they ended.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # While torch's threads wait for work they keep their cores busy, which decode meanwhile: by themselves for
    # milliseconds, with this for microseconds.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    sys.exit(_run(list(arguments) or ["--help"], verbose=verbose))


def program(began: float | None = None) -> None:
    """Run `main`, then end the process at once; by then all output is in place.

    torch takes a second to shut down, and a decode thread that hangs in a read would keep the process for ever.
    """
    take_standard_error()
    sys.unraisablehook = say_unraisable
    try:
        main(began=began)
    except SystemExit as e:
        # What could not be flushed was said.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError):
                stream.flush()
        os._exit(e.code if isinstance(e.code, int) else exit_codes.DONE)


def _run(arguments: list[str], *, verbose: bool) -> int:
    """Run the command and return its exit code; errors become one line on stderr."""
    try:
        code = _called(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else exit_codes.DONE
    except typer.Exit as e:
        return e.exit_code
    except (_Stopped, typer.Abort, KeyboardInterrupt):
        return _report("stopped; nothing was written", exit_codes.INTERRUPTED)
    except (BrokenPipeError, SystemExit) as e:
        # The reader of our output has had enough, as `head` has; typer makes an exit of that.
        if isinstance(e, SystemExit) and not isinstance(e.__context__, BrokenPipeError):
            raise
        close_standard_output()
        return exit_codes.DONE
    except typer.TyperException as e:
        message = e.format_message().rstrip(".?")
        command = next((a for a in arguments if a in COMMANDS), "")
        see = " ".join(part for part in ("clipcli", command, "--help") if part)
        return _report(f"{message[:1].lower()}{message[1:]}; see {see}", exit_codes.WRONG_USAGE)
    except Exception as e:
        if not isinstance(e, ClipcliError | OSError) and not is_out_of_memory(e):
            raise
        if verbose:
            traceback.print_exc()
        return _failed(e)


def _failed(error: Exception) -> int:
    """Say an error that is no fault of clipcli, and return the exit code."""
    if isinstance(error, ClipcliError):
        return error.exit_code if error.said_by_another else _report(str(error), error.exit_code)
    if is_out_of_memory(error):
        memory = "the memory is too small; close other programs or take a smaller model, and start again"
        return _report(memory, exit_codes.FAILED)
    return _report(f"the system refused: {error}; mend that and start again", exit_codes.FAILED)


def _called(arguments: list[str]) -> object:
    """Call what the arguments name: a command, the help, or the completion of the shell."""
    flag, *shells = [*arguments[0].split("=", 1), *arguments[1:]]
    if flag in (completion.INSTALL, completion.SHOW):
        return completion.install_or_show(flag, shells)
    completion.prepare()
    names = arguments[:1] if arguments[0] in COMMANDS else COMMANDS
    return app(names)(args=arguments, prog_name="clipcli", standalone_mode=False)


def _report(message: str, code: int) -> int:
    """Print an error on stderr: one line, but for a terminal that is narrower."""
    said = f"clipcli: {printable(' '.join(message.split()))}"
    if sys.stderr is not None and sys.stderr.isatty():
        from clipcli.cli.fit import wrap

        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        said = "\n".join(wrap(said, columns or 80, more="  "))
    print(said, file=sys.stderr)
    return code


def _version(requested: bool) -> None:
    if requested:
        from clipcli.version import __version__

        print(f"clipcli {__version__}")
        raise typer.Exit


def _help(context: typer.Context, requested: bool) -> None:
    if requested:
        print(context.get_help())
        raise typer.Exit


_INSTALL_HELP = f"Let your shell complete commands and flags; or name it: {', '.join(completion.SHELLS)}."


# The root has a help flag of its own: typer's makes each command's --help load pydantic, which takes half its time.
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version.", callback=_version, is_eager=True),
    install: bool = typer.Option(False, completion.INSTALL, help=_INSTALL_HELP),
    show: bool = typer.Option(False, completion.SHOW, help="Print the script that does it."),
    help: bool = typer.Option(False, "-h", "--help", help="Show this message and exit.", callback=_help, is_eager=True),
) -> None:
    """Label photos with CLIP, without training."""
