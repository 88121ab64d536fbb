"""The door of the Python API: functions whose arguments are the fields of a record, and errors that speak of arguments.

Messages are written for the command line, with flags; here flags become arguments: `--top-k 9` is `top_k=9`.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, overload

from clipcli.errors import ClipcliError
from clipcli.settings.described import Described, described
from clipcli.settings.record import Settings

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")

_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
_SEE = re.compile(r"\bclipcli ([a-z-]+) --help\b")
# Stands for any value, as FILE does; a name with its value; and what can only be a value: a number, a path.
_ANY = re.compile(r" [A-Z][A-Z_]*\b(?![\w=])")
_NAMED = re.compile(r" (\w+)=(\w+)")
_VALUE = re.compile(r" (-?[0-9][^\s;:)]*?|[^\s;:,)'\"]*/[^\s;:,)'\"]*)(?=[,.]?(?:[\s;:)]|$))")


@overload
def api(record: Callable[P, S]) -> Callable[[Callable[[S], R]], Callable[P, R]]: ...


@overload
def api(
    record: Callable[P, Any], *, read: Callable[[dict[str, Any]], S]
) -> Callable[[Callable[[S], R]], Callable[P, R]]: ...


def api(record: Any, *, read: Any = None) -> Any:
    """Turn a function of a record into one whose arguments are the record's fields, typed and described as these are.

    `read` makes what the function takes from the arguments that were given, where this is not the record itself.
    An argument that there is not is a `TypeError`, and a value that does not fit an error of `clipcli.errors`, both
    raised by the call, also where the function yields.
    """

    def public(function: Callable[[Any], Any]) -> Callable[..., Any]:
        signature = _signature(record, returns=inspect.signature(function).return_annotation)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as e:
                raise TypeError(f"{function.__name__}() {e}") from None
            with _speaking_of_arguments(record, given):
                result = function(record(**given) if read is None else read(dict(given)))
            return _each(result, record, given) if inspect.isgenerator(result) else result

        called.__signature__ = signature  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        called.__doc__ = _documented(function.__doc__ or "", record)
        return called

    return public


def in_arguments(message: str, record: type[Settings], given: Mapping[str, Any]) -> str:
    """The message with arguments in place of the flags of a record; `given` are the arguments' values, where known."""
    settings = described(record)
    said, done = "", 0
    for match in _FLAG.finditer(message):
        name = match[1].replace("-", "_")
        if match.start() < done or (name not in settings and name.removeprefix("no_") not in settings):
            continue
        text, end = _as_argument(name, message, match.end(), settings=settings, given=given)
        said, done = said + message[done : match.start()] + text, end
    return _SEE.sub(lambda match: f"help(clipcli.{match[1].replace('-', '_')})", said + message[done:])


def _as_argument(
    name: str, message: str, end: int, *, settings: Mapping[str, Described], given: Mapping[str, Any]
) -> tuple[str, int]:
    """The flag `name` as an argument, with the value that follows it in the message, and where that ends."""
    if name not in settings:
        return f"{name.removeprefix('no_')}=False", end
    one, rest = settings[name], message[end:]
    value = given.get(name)
    if value is not None and _begins(rest, f" {value}"):
        return f"{name}={value if isinstance(value, int | float) else repr(str(value))}", end + 1 + len(str(value))
    if one.type is bool:
        return f"{name}=True", end
    if match := _ANY.match(rest):
        return name, end + match.end()
    if match := _NAMED.match(rest):
        return f"{name}={{'{match[1]}': {match[2]}}}", end + match.end()
    choice = next((choice for choice in one.about.choices or () if _begins(rest, f" {choice}")), None)
    match = _VALUE.match(rest)
    text = choice or (match[1] if match else None)
    if text is None:
        return name, end
    return f"{name}={text if one.type in (int, float) else repr(text)}", end + 1 + len(text)


def _begins(rest: str, text: str) -> bool:
    return re.match(rf"{re.escape(text)}(?![\w-])", rest) is not None


@contextmanager
def _speaking_of_arguments(record: type[Settings], given: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except ClipcliError as e:
        e.args = (in_arguments(str(e), record, given),)
        raise


def _each(results: Iterator[Any], record: type[Settings], given: Mapping[str, Any]) -> Iterator[Any]:
    with _speaking_of_arguments(record, given):
        yield from results


def _signature(record: type[Settings], *, returns: Any) -> inspect.Signature:
    """The record's own, with what may be given for a field in place of what the field holds."""
    settings = described(record)
    parameters = inspect.signature(record).parameters.values()
    return inspect.Signature(
        [parameter.replace(annotation=settings[parameter.name].given) for parameter in parameters],
        return_annotation=returns,
    )


def _documented(text: str, record: type[Settings]) -> str:
    """The function's own text, and a line for each argument."""
    lines = [f"    {one.name}: {in_arguments(one.help, record, {})}" for one in described(record).values()]
    return "\n".join([inspect.cleandoc(text), "", "Arguments:", *lines])
