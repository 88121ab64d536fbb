"""Flags, made from records of settings: the command line has the names, helps and defaults that files and the API have.

A command is a function of what was given by flags, by name, and of the `Terminal`. Flags come before the file of
`--config`, and both are checked by the records.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, overload

import typer

from clipcli.settings import Described, Settings, build_record, check_names, described, read_yaml, record, setting

First = TypeVar("First", bound=Settings)
Second = TypeVar("Second", bound=Settings)
Given = dict[str, Any]


@record
class Terminal(Settings):
    """Flags that every command with settings has beside them."""

    config: str | None = setting(default=None, group="terminal", metavar="FILE.yaml")
    """Settings in a .yaml file; flags override it."""

    show_config: bool = setting(default=False, group="terminal", one_way=True)
    """Print all settings as they would be, and end."""

    quiet: bool = setting(default=False, group="terminal", short="-q", one_way=True)
    """Say nothing but errors."""

    verbose: bool = setting(default=False, group="terminal", short="-v", one_way=True)
    """Say what was read off the model, and show where an error came from."""


class Command:
    """A command whose flags are the settings of records."""

    def __init__(self, body: Callable[[Given, Terminal], int], *, records: tuple[type[Settings], ...]) -> None:
        self.records = (*records, Terminal)
        self.__doc__ = body.__doc__
        self._body = body

    def __call__(self, **flags: Any) -> int:
        """Run it with the values of its flags, of which those that were not given are `None` or an empty list."""
        given = {name: value for name, value in flags.items() if value is not None and value != []}
        own = {field.name for field in dataclasses.fields(Terminal)} & given.keys()
        return self._body(given, Terminal(**{name: given.pop(name) for name in own}))

    def function(self) -> Callable[..., int]:
        """The command as typer takes it: a function, whose signature says which flags there are."""

        def command(**flags: Any) -> int:
            return self(**flags)

        command.__doc__ = self.__doc__
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(one) for one in described(*self.records).values()], return_annotation=int
        )
        return command


def flags_of(*records: type[Settings]) -> Callable[[Callable[[Given, Terminal], int]], Command]:
    """A command whose flags are the settings of these records, and those of the `Terminal`."""
    return lambda body: Command(body, records=records)


@overload
def settings_of(given: Mapping[str, Any], terminal: Terminal, first: type[First], /) -> tuple[First]: ...


@overload
def settings_of(
    given: Mapping[str, Any], terminal: Terminal, first: type[First], second: type[Second], /
) -> tuple[First, Second]: ...


def settings_of(given: Mapping[str, Any], terminal: Terminal, /, *records: type[Settings]) -> tuple[Settings, ...]:
    """Records of what was given by flags, over what the file of `--config` says.

    Raises as `read_yaml` and `build_record`.
    """
    asked = ({} if terminal.config is None else read_yaml(terminal.config)) | dict(given)
    names = [[field.name for field in dataclasses.fields(record)] for record in records]
    check_names(asked, [name for own in names for name in own], command=records[0].command)
    return tuple(
        build_record(record, {name: asked[name] for name in own if name in asked})
        for record, own in zip(records, names, strict=True)
    )


def _parameter(one: Described) -> inspect.Parameter:
    """A setting as a parameter that typer makes a flag of; `None` means that it was not given."""
    if one.about.argument:
        info: Any = typer.Argument(metavar=one.metavar, help=one.help, show_default=False)
    else:
        long, *others = one.flags
        names = [f"{long}/{others.pop(0)}"] if others and others[0].startswith("--no-") else [long]
        info = typer.Option(*names, *others, metavar=one.metavar, help=one.help, show_default=False)
    annotation: Any = Annotated[one.type | None, info]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
