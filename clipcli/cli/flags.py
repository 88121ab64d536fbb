"""Makes the flags of commands from records of settings.

So they have the same names, help and defaults as the Python API. A command is a function of the flags that were given
and of the `Terminal`. Flags override the file of `--config`, and the records check both.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Annotated, Any, TypeVar, overload

import typer

from clipcli.cli.help import RARE
from clipcli.offline import offline
from clipcli.settings import (
    GROUPS,
    Described,
    Settings,
    build_record,
    check_names,
    described,
    read_yaml,
    record,
    setting,
)

First = TypeVar("First", bound=Settings)
Second = TypeVar("Second", bound=Settings)
# What keeps the command that runs from the network, from when its settings are known until it ends.
_OFFLINE = ExitStack()
# The values of the flags that were given, by the names of their settings.
FlagValues = dict[str, Any]


@record
class Terminal(Settings):
    """Flags that every command with settings has as well."""

    config: str | None = setting(default=None, group="terminal", metavar="FILE.yaml")
    """Settings in a .yaml file; flags override it."""

    show_config: bool = setting(default=False, group="terminal", one_way=True)
    """Print all settings as they would be, and end."""

    quiet: bool = setting(default=False, group="terminal", short="-q", one_way=True)
    """Say nothing but errors."""

    verbose: bool = setting(default=False, group="terminal", short="-v", one_way=True)
    """Say what was read off the model, and show where an error came from."""


class Command:
    """A command whose flags are the settings of records; `body` runs it."""

    def __init__(self, body: Callable[[FlagValues, Terminal], int], *, records: tuple[type[Settings], ...]) -> None:
        self.records = (*records, Terminal)
        self.__doc__ = body.__doc__
        self._body = body

    def __call__(self, **flags: Any) -> int:
        """Run the command with values for all flags: `None` or an empty list for those that were not given."""
        values = {name: value for name, value in flags.items() if value is not None and value != []}
        terminal_names = {field.name for field in dataclasses.fields(Terminal)} & values.keys()
        terminal = Terminal(**{name: values.pop(name) for name in terminal_names})
        with _OFFLINE:
            return self._body(values, terminal)

    def function(self) -> Callable[..., int]:
        """The command as a function for typer, which makes flags of the parameters in its signature."""

        def command(**flags: Any) -> int:
            return self(**flags)

        command.__doc__ = self.__doc__
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(option) for option in described(*self.records).values()], return_annotation=int
        )
        return command


def flags_of(*records: type[Settings]) -> Callable[[Callable[[FlagValues, Terminal], int]], Command]:
    """Decorate a function to make it a command with the settings of these records, and of `Terminal`, as flags."""
    return lambda body: Command(body, records=records)


@overload
def settings_of(flags: Mapping[str, Any], terminal: Terminal, first: type[First], /) -> tuple[First]: ...


@overload
def settings_of(
    flags: Mapping[str, Any], terminal: Terminal, first: type[First], second: type[Second], /
) -> tuple[First, Second]: ...


def settings_of(flags: Mapping[str, Any], terminal: Terminal, /, *records: type[Settings]) -> tuple[Settings, ...]:
    """Make one record of each type from the flags and, where these are silent, the file of `--config`.

    Raises as `read_yaml` and `build_record`.
    """
    values = ({} if terminal.config is None else read_yaml(terminal.config)) | dict(flags)
    field_names = [[field.name for field in dataclasses.fields(record)] for record in records]
    check_names(values, [name for names in field_names for name in names], command=records[0].command)
    made = tuple(
        build_record(record, {name: values[name] for name in names if name in values})
        for record, names in zip(records, field_names, strict=True)
    )
    keep_from_network(*made)
    return made


def keep_from_network(*made: Settings) -> None:
    """Keep the command that runs from the network until it ends, if one of its records says so."""
    _OFFLINE.enter_context(offline(any(getattr(one, "offline", False) for one in made)))


def _completion(choices: Mapping[str, str] | None) -> Callable[[str], list[str]] | None:
    """The function that completes the beginning of a choice."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices or () if choice.startswith(incomplete)]

    return complete if choices else None


def _parameter(option: Described) -> inspect.Parameter:
    """A setting as a parameter that typer makes a flag of; its default `None` means that it was not given."""
    if option.about.argument:
        info: Any = typer.Argument(metavar=option.metavar, help=option.help, show_default=False)
    else:
        long, *others = option.flags
        names = [f"{long}/{others.pop(0)}"] if others and others[0].startswith("--no-") else [long]
        info = typer.Option(
            *names,
            *others,
            metavar=option.metavar,
            help=option.help,
            show_default=False,
            rich_help_panel=RARE if option.about.rare else GROUPS[option.about.group],
            autocompletion=_completion(option.about.choices),
        )
    annotation: Any = Annotated[option.type | None, info]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
