"""Defines the types of settings, and converts values from flags, files and programs to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
AsTexts = Reads[str | Path | Sequence[str | Path], tuple[str, ...]]


def as_text(value: Any) -> str:
    """A name, a path or a number as text. Raises `TypeError` for anything else."""
    if isinstance(value, dict | list | tuple | bool):
        raise TypeError(value)
    return str(value)


def as_texts(value: Any) -> tuple[str, ...]:
    """One or several names or paths as a tuple of texts. Raises `TypeError` for anything else."""
    if isinstance(value, str | Path):
        return (str(value),)
    texts = tuple(value)
    # YAML reads a folder named 2023 as a number.
    if isinstance(value, Mapping) or not all(isinstance(text, str | Path) or type(text) is int for text in texts):
        raise TypeError(value)
    return tuple(map(str, texts))


def as_switch(value: Any) -> bool:
    """True or false. Raises `TypeError` for anything else."""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def as_whole_number(value: Any) -> int:
    """A whole number, also from text or a float such as 5.0. Raises `ValueError` for anything else."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


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
    "AsTexts": Kind(as_texts, "a list of paths", list[str], "str | Path | Sequence[str | Path]"),
}
