"""Defines the base of all settings, declares their fields, and checks their values."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from numbers import Real
from typing import Any, ClassVar, TypeVar, dataclass_transform

from clipcli.errors import ClipcliError, UsageError, unknown
from clipcli.settings.values import KINDS, Kind

T = TypeVar("T")
# A list that is written longer than this is shown by its type alone.
_LONG = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The properties of a setting, besides its name, type, default and text."""

    group: str
    """Its group in help: a key of `GROUPS`."""
    metavar: str | None = None
    """The placeholder for its value in help."""
    choices: Mapping[str, str] | None = None
    """The values allowed, with their meanings."""
    also: str | None = None
    """A regular expression of values that are allowed beside the choices."""
    explained: bool = False
    """True if help shows the meanings of the choices."""
    least: float | None = None
    """Its smallest value."""
    most: float | None = None
    """Its largest value."""
    rare: bool = False
    """True if it is seldom needed; it comes last in its group."""
    argument: bool = False
    """True if it has no flag on the command line."""
    flag: str | None = None
    """Its flag, if it is not made from its name."""
    short: str | None = None
    """Its second, short flag."""
    one_way: bool = False
    """True for a switch without `--no-…`."""
    by_default: str | None = None
    """The default in words, if the value itself does not say enough."""
    missing: str | None = None
    """The error message if it is required and missing."""
    harmless: bool = False
    """True if it may change when a run is resumed."""
    reads: Callable[[Any], Any] | None = None
    """Converts a value to the form that the field stores; accepts that form as well."""
    writes: Callable[[Any], Any] | None = None
    """Converts the stored form to a value for YAML and JSON."""
    accepts: str | None = None
    """Its type in Python, as source, if that is not its annotation."""
    noun: str | None = None
    """What errors say that a value is not, if its type does not say enough."""
    several: bool = False
    """True for an argument of several texts, if its type does not say it."""


def setting(
    *, default: Any = MISSING, kw_only: bool = True, alike: Mapping[str, Any] | None = None, **stated: Any
) -> Any:
    """A field of a record. `stated` are its properties, the fields of `About`. Without a `default` it is required.

    `alike` are properties that several fields have, where `stated` has no other.
    """
    return dataclasses.field(default=default, kw_only=kw_only, metadata={"about": About(**{**(alike or {}), **stated})})


# Type checkers are not told that it is frozen: mypy ignores `Reads` in fields that a frozen dataclass inherits.
@dataclass_transform(kw_only_default=True, field_specifiers=(setting,))
def record(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass of settings. It has no slots, since records inherit from several classes."""
    return dataclass(frozen=True, kw_only=True)(cls)


@record
class Settings:
    """The base of all records of settings; `command` is the command that they belong to."""

    command: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check and convert all values.

        Raises `UnknownName` for a value that is no choice, and `UsageError` for a wrong type or a value out of range.
        """
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name), command=self.command)
            object.__setattr__(self, field.name, value)


AnySettings = TypeVar("AnySettings", bound=Settings)


def about(field: Field[Any]) -> About:
    """The properties of a field."""
    stated: About = field.metadata["about"]
    return stated


def kind_of(field: Field[Any]) -> Kind:
    """The kind of a field's values. A type that is not in `KINDS` is converted by `reads`, or kept as it is."""
    stated = about(field)
    text = list[str] if stated.several else str
    other = Kind(stated.reads or (lambda value: value), "understood", text, stated.accepts)
    return KINDS.get(str(field.type).removesuffix(" | None"), other)


def shortened(value: Any) -> str:
    """A value as messages show it: only its type where it is no text or number, or a long list of them."""
    text = str(value) if isinstance(value, str | Real | os.PathLike | list | tuple | dict) else ""
    is_list = isinstance(value, list | tuple | dict)
    return text if text and not (is_list and len(text) > _LONG) else f"of type {type(value).__name__}"


def flag(name: str) -> str:
    """The flag of a setting's name: `--top-k` for `top_k`."""
    return f"--{name.replace('_', '-')}"


def build_record(record: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """Build a record from settings by name.

    Raises `UnknownName` for a setting that does not exist, and `UsageError` for one that is missing or has a bad value.
    """
    fields = dataclasses.fields(record)
    check_names(values, [field.name for field in fields], command=record.command)
    required = {field.name: None for field in fields if field.default is MISSING}
    return record(**(required | dict(values)))


def check_names(values: Mapping[str, Any], names: Sequence[str], *, command: str) -> None:
    """Raise `UnknownName` for a setting that is not in `names`."""
    for name in values:
        if name not in names:
            raise unknown("setting", name, names, see=f"clipcli {command} --help")


def _checked(field: Field[Any], value: Any, *, command: str) -> Any:
    """The value in the form that the field stores. Raises `UnknownName` or `UsageError`."""
    stated, kind = about(field), kind_of(field)
    if value is None:
        if field.default is MISSING:
            name = stated.metavar if stated.argument else flag(field.name)
            raise UsageError(stated.missing or f"missing argument '{name}'; see clipcli {command} --help")
        return field.default
    try:
        value = (stated.reads or kind.read)(value)
    except ClipcliError:
        raise
    except (TypeError, ValueError, OverflowError):
        shown = shortened(value)
        noun = stated.noun or kind.noun
        raise UsageError(f"{flag(field.name)} {shown} is not {noun}; see clipcli {command} --help") from None
    if stated.choices and value not in stated.choices and not (stated.also and re.fullmatch(stated.also, value)):
        raise unknown(flag(field.name), value, stated.choices)
    least, most = stated.least, stated.most
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        raise UsageError(f"{flag(field.name)} {value} does not fit; give {bounds}")
    return value
