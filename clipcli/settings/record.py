"""Records of settings: how a field is declared, and how its value is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from clipcli.errors import ClipcliError, UsageError, unknown
from clipcli.settings.values import KINDS, Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """All that is stated about a setting beside its name, type, default and text."""

    group: str
    """The group that it belongs to: one of `GROUPS`."""
    metavar: str | None = None
    """How its value is called in help."""
    choices: Mapping[str, str] | None = None
    """The names that it may have, with what each means."""
    explained: bool = False
    """Help tells what each of the choices means."""
    least: float | None = None
    """Its smallest value."""
    most: float | None = None
    """Its largest value."""
    rare: bool = False
    """It is seldom needed, and comes last in its group."""
    argument: bool = False
    """It stands on the command line without a flag."""
    flag: str | None = None
    """Its flag, where this is not made from its name."""
    short: str | None = None
    """Its second, short flag."""
    one_way: bool = False
    """It is a switch without `--no-…`."""
    by_default: str | None = None
    """Its value where it is not given, in words, if the default itself does not say so."""
    missing: str | None = None
    """The error where it must be given and is not."""
    harmless: bool = False
    """It may change when a run goes on."""
    reads: Callable[[Any], Any] | None = None
    """Brings a value into the form that the field keeps; takes that form as well."""
    writes: Callable[[Any], Any] | None = None
    """Gives the kept form back as YAML and JSON have it."""


def setting(*, default: Any = MISSING, kw_only: bool = True, **stated: Any) -> Any:
    """A field of a record, with what is `stated` about it: see `About`. Without a `default` it must be given."""
    return dataclasses.field(default=default, kw_only=kw_only, metadata={"about": About(**stated)})


# That it is frozen is not said to type checkers: of the fields that a frozen dataclass inherits mypy forgets `Reads`.
@dataclass_transform(kw_only_default=True, field_specifiers=(setting,))
def record(cls: type[T]) -> type[T]:
    """A frozen dataclass of settings. It has no slots: records are put together by inheritance from several."""
    return dataclass(frozen=True, kw_only=True)(cls)


@record
class Settings:
    """Base of all records of settings; `command` is the command whose they are."""

    command: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Raises `UnknownName`, or `UsageError` for a value of another type or out of its range."""
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name), command=self.command)
            object.__setattr__(self, field.name, value)


AnySettings = TypeVar("AnySettings", bound=Settings)


def about(field: Field[Any]) -> About:
    """What is stated about a field of a record."""
    stated: About = field.metadata["about"]
    return stated


def kind_of(field: Field[Any]) -> Kind:
    """The kind of a field's values; one of another type keeps what its `reads` makes of a value, or the value."""
    other = Kind(about(field).reads or (lambda value: value), "understood", str)
    return KINDS.get(str(field.type).removesuffix(" | None"), other)


def flag(name: str) -> str:
    """How a setting is written on the command line."""
    return f"--{name.replace('_', '-')}"


def build_record(record: type[AnySettings], given: Mapping[str, Any]) -> AnySettings:
    """The record with the given settings.

    Raises `UnknownName` for a setting that there is not, and `UsageError` for a value that does not fit or is missing.
    """
    fields = dataclasses.fields(record)
    check_names(given, [field.name for field in fields], command=record.command)
    required = {field.name: None for field in fields if field.default is MISSING}
    return record(**(required | dict(given)))


def check_names(given: Mapping[str, Any], names: Sequence[str], *, command: str) -> None:
    """Raises `UnknownName` for a setting that is not among `names`."""
    for name in given:
        if name not in names:
            raise unknown("setting", name, names, see=f"clipcli {command} --help")


def _checked(field: Field[Any], value: Any, *, command: str) -> Any:
    """The value in the form that the field keeps. Raises `UnknownName` or `UsageError`."""
    stated, kind = about(field), kind_of(field)
    if value is None:
        if field.default is MISSING:
            called = stated.metavar if stated.argument else flag(field.name)
            raise UsageError(stated.missing or f"missing argument '{called}'; see clipcli {command} --help")
        return field.default
    try:
        value = (stated.reads or kind.read)(value)
    except ClipcliError:
        raise
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{flag(field.name)} {value} is not {kind.said}; see clipcli {command} --help") from None
    if stated.choices and value not in stated.choices:
        raise unknown(flag(field.name), value, stated.choices)
    least, most = stated.least, stated.most
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        raise UsageError(f"{flag(field.name)} {value} does not fit; give {bounds}")
    return value
