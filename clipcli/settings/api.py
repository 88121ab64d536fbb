"""Makes the functions of the Python API, with the fields of a record as their arguments.

Messages are written with flags, for the command line. Here the errors name arguments: `--top-k 9` becomes `top_k=9`.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from clipcli.errors import ClipcliError, ClipcliWarning
from clipcli.events import Event, Later, Warned
from clipcli.offline import offline
from clipcli.records import Rows
from clipcli.settings.described import Described, described
from clipcli.settings.record import Settings

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")
Owner = TypeVar("Owner")
Show = Callable[[Event], None]

_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
_SEE = re.compile(r"\bclipcli ([a-z-]+) --help\b")
# Values after a flag: a placeholder such as FILE; NAME=VALUE; a list in quotes; a number or a path.
_ANY = re.compile(r" [A-Z][A-Z_]*\b(?![\w=])")
_NAMED = re.compile(r" (\w+)=(\w+)")
_LIST = re.compile(r" ('[^',]*,[^']*')")
_VALUE = re.compile(r" (-?[0-9][^\s;:)]*?|[^\s;:,)'\"]*/[^\s;:,)'\"]*)(?=[,.]?(?:[\s;:)]|$))")


@overload
def api(record: Callable[P, S]) -> Callable[[Callable[[S, Show], R]], Callable[P, R]]: ...


@overload
def api(
    record: Callable[P, Any], *, read: Callable[[dict[str, Any]], S]
) -> Callable[[Callable[[S, Show], R]], Callable[P, R]]: ...


def api(record: Any, *, read: Any = None) -> Any:
    """Decorate a function of a record: its arguments become the record's fields, with their types and descriptions.

    `read` builds the function's first argument from the arguments of the call; the default is the record itself. The
    second is a function that events are given to, which passes on those that are warnings. The call raises `TypeError`
    for unknown arguments, and errors of `clipcli.errors` for bad values, also if the function is a generator.
    """
    return functools.partial(_public, record=record, read=read)


def method(
    record: Callable[P, S], *, of: type[Settings]
) -> Callable[[Callable[[Owner, S, Show], R]], Callable[Concatenate[Owner, P], R]]:
    """As `api`, for a method of an object that has the settings `of`: messages name these as arguments too."""
    decorate: Any = functools.partial(_public, record=record, owner=of)
    return decorate  # type: ignore[no-any-return]


def _public(function: Callable[..., Any], *, record: Any, read: Any = None, owner: type[Settings] | None = None) -> Any:
    """The function with the fields of the record as its arguments; a method if it has an `owner`."""
    settings, count = described(record), 0 if owner is None else 1
    signature = _signature(record, settings, returns=inspect.signature(function).return_annotation)
    named = settings if owner is None else described(owner) | settings

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(*args[count:], **kwargs).arguments
        except TypeError as e:
            raise TypeError(f"{function.__name__}() {e}") from None
        show = functools.partial(_warn, named, arguments)
        with _errors_name_arguments(named, arguments):
            values = record(**arguments) if read is None else read(dict(arguments))
            is_offline = any(getattr(one, "offline", False) for one in (values, *args[:count]))
            with offline(is_offline):
                result = function(*args[:count], values, show)
        each = functools.partial(_each, settings=named, values=arguments, is_offline=is_offline)
        if isinstance(result, Rows):
            return result.through(each)
        return each(result) if inspect.isgenerator(result) else result

    bound = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)] * count
    wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*bound, *signature.parameters.values()]
    )
    wrapper.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    wrapper.__doc__ = _documented(function.__doc__ or "", settings)
    return wrapper


def in_arguments(message: str, settings: Mapping[str, Described], values: Mapping[str, Any]) -> str:
    """The message with the flags of `settings` replaced by arguments; `values` are those of the call, to find them."""
    text, done = "", 0
    for match in _FLAG.finditer(message):
        name = match[1].replace("-", "_")
        if match.start() < done or (name not in settings and name.removeprefix("no_") not in settings):
            continue
        argument, end = _as_argument(name, message, match.end(), settings=settings, values=values)
        text, done = text + message[done : match.start()] + argument, end
    return _SEE.sub(lambda match: f"help(clipcli.{match[1].replace('-', '_')})", text + message[done:])


def _as_argument(
    name: str, message: str, end: int, *, settings: Mapping[str, Described], values: Mapping[str, Any]
) -> tuple[str, int]:
    """The flag `name` as an argument, with its value if one follows in the message, and the index behind both.

    `end` is the index behind the flag.
    """
    if name not in settings:
        return f"{name.removeprefix('no_')}=False", end
    setting, rest = settings[name], message[end:]
    value = values.get(name)
    if value is not None and _begins(rest, f" {value}"):
        return f"{name}={value if isinstance(value, int | float) else repr(str(value))}", end + 1 + len(str(value))
    if setting.type is bool:
        return f"{name}=True", end
    if match := _ANY.match(rest):
        return name, end + match.end()
    if match := _NAMED.match(rest):
        return f"{name}={{'{match[1]}': {match[2]}}}", end + match.end()
    if match := _LIST.match(rest):
        return f"{name}={match[1]}", end + match.end()
    choice = next((choice for choice in setting.about.choices or () if _begins(rest, f" {choice}")), None)
    match = _VALUE.match(rest)
    text = choice or (match[1] if match else None)
    if text is None:
        return name, end
    return f"{name}={text if setting.type in (int, float) else repr(text)}", end + 1 + len(text)


def _begins(rest: str, text: str) -> bool:
    return re.match(rf"{re.escape(text)}(?![\w-])", rest) is not None


@contextmanager
def _errors_name_arguments(settings: Mapping[str, Described], values: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except ClipcliError as e:
        e.args = (in_arguments(str(e), settings, values),)
        raise


def _each(
    results: Iterator[Any], settings: Mapping[str, Described], values: Mapping[str, Any], *, is_offline: bool
) -> Iterator[Any]:
    with _errors_name_arguments(settings, values), offline(is_offline):
        yield from results


def _warn(settings: Mapping[str, Described], values: Mapping[str, Any], event: Event) -> None:
    """Warn the caller, in whose code the warning is placed, of what the command line would say in yellow.

    Work that the command line does once its output is there is done at once.
    """
    if isinstance(event, Later):
        for one in event.work():
            _warn(settings, values, one)
    if not isinstance(event, Warned):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "clipcli":
        level, frame = level + 1, frame.f_back
    warnings.warn(in_arguments(event.message, settings, values), ClipcliWarning, stacklevel=level)


def _signature(record: type[Settings], settings: Mapping[str, Described], *, returns: Any) -> inspect.Signature:
    """The signature of the record, with the types that each argument accepts."""
    parameters = inspect.signature(record).parameters.values()
    return inspect.Signature(
        [parameter.replace(annotation=settings[parameter.name].accepts) for parameter in parameters],
        return_annotation=returns,
    )


def _documented(text: str, settings: Mapping[str, Described]) -> str:
    """The function's docstring with a line for each argument."""
    lines = [f"    {field.name}: {in_arguments(field.help, settings, {})}" for field in settings.values()]
    return "\n".join([inspect.cleandoc(text), "", "Arguments:", *lines])
