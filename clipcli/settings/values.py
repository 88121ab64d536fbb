"""Defines the types of settings, and converts values from flags, files and programs to them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

Given = TypeVar("Given")
Kept = TypeVar("Kept")


class Reads(Generic[Given, Kept]):
    """The type of a field that accepts more types than it stores: `Reads[accepted, stored]`.

    It is for type checkers: the first is the type of the record's argument, the second that of its attribute.
    """

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> Kept: ...

        def __set__(self, instance: object, value: Given) -> None: ...


# Names, paths and numbers, stored as text.
AsText = Reads[str | Path | None, str | None]
AsNumberOrText = Reads[str | float | None, str | None]
# Not `Iterable`, which a mapping is too.
AsTexts = Reads[str | Path | Sequence[str | Path] | Iterator[str | Path], tuple[str, ...]]


def as_text(value: Any) -> str:
    """A name, a path or a number as text. Raises `TypeError` for anything else."""
    # YAML reads a folder named 2023, or 2023-05-01, as a number or a date.
    if isinstance(value, str | Real | date) and not isinstance(value, bool):
        return str(value)
    return os.fsdecode(os.fspath(value))


def as_texts(value: Any) -> tuple[str, ...]:
    """One or several names or paths as a tuple of texts. Raises `TypeError` for anything else."""
    if isinstance(value, str | os.PathLike):
        return (as_text(value),)
    texts = several(value)
    # A missing cell of a table is a float.
    if not all(isinstance(text, str | os.PathLike) or type(text) is int for text in texts):
        raise TypeError(value)
    return tuple(map(as_text, texts))


def several(values: Any) -> tuple[Any, ...]:
    """The values of a list, a column of a table, a generator and the like, in order.

    Raises `TypeError` for anything else, also for what can be taken one by one but is no list: bytes, an open file, a
    mapping, and a table, which would give the names of its columns.
    """
    if isinstance(values, bytes | bytearray | Mapping) or hasattr(values, "read") or hasattr(values, "columns"):
        raise TypeError(values)
    # A set of texts has another order in every process.
    return tuple(sorted(values) if isinstance(values, set | frozenset) else values)


def as_switch(value: Any) -> bool:
    """True or false. Raises `TypeError` for anything else."""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def as_whole_number(value: Any) -> int:
    """A whole number, also from text or a float such as 5.0. Raises `ValueError` for anything else."""
    number = int(value)
    if isinstance(value, bool) or (not isinstance(value, str) and number != value):
        raise ValueError(value)
    return number


def as_number(value: Any) -> float:
    """A finite number, also from text. Raises `ValueError` for anything else."""
    # YAML reads 1e-3 as text.
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(value)
    return number


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of settings.

    `read` converts a value, `noun` names the type in errors, `flag` is the type of the flag, and `accepts` the type in
    Python, as source, if that is not the annotation.
    """

    read: Callable[[Any], Any]
    noun: str
    flag: Any
    accepts: str | None = None


# By the annotation of a field, without its `| None`.
KINDS = {
    "int": Kind(as_whole_number, "a whole number", int),
    "float": Kind(as_number, "a number", float),
    "bool": Kind(as_switch, "true or false", bool),
    "str": Kind(as_text, "a text", str),
    "AsText": Kind(as_text, "a text", str, "str | Path | None"),
    "AsNumberOrText": Kind(as_text, "a text", str, "str | float | None"),
    "AsTexts": Kind(as_texts, "a list of paths", list[str], "str | Path | Sequence[str | Path] | Iterator[str | Path]"),
}
