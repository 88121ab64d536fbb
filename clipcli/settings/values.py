"""The values of settings: the types of fields, and how a value from a flag, a file or a program becomes one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

Given = TypeVar("Given")
Kept = TypeVar("Kept")


class Reads(Generic[Given, Kept]):
    """The type of a field that takes more forms than it keeps: `Reads[what may be given, what the field then holds]`.

    It is for type checkers: they take the first for the record's argument, and the second for its attribute.
    """

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> Kept: ...

        def __set__(self, instance: object, value: Given) -> None: ...


# Names and paths, kept as texts.
AsText = Reads[str | Path | None, str | None]
AsNumberOrText = Reads[str | float | None, str | None]
AsTexts = Reads[str | Path | Sequence[str | Path], tuple[str, ...]]


def as_text(value: Any) -> str:
    """A name, a path or a number as a text. Raises `TypeError` for anything else."""
    if isinstance(value, dict | list | tuple | bool):
        raise TypeError(value)
    return str(value)


def as_texts(value: Any) -> tuple[str, ...]:
    """One name or path, or several, as texts. Raises `TypeError` for anything else."""
    if isinstance(value, str | Path):
        return (str(value),)
    texts = tuple(value)
    # YAML takes a folder called 2023 for a number.
    if isinstance(value, Mapping) or not all(isinstance(text, str | Path) or type(text) is int for text in texts):
        raise TypeError(value)
    return tuple(map(str, texts))


def as_switch(value: Any) -> bool:
    """True or false. Raises `TypeError` for anything else."""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def as_whole_number(value: Any) -> int:
    """A whole number, also one that is written as a text or with a point. Raises `ValueError` for anything else."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


def as_number(value: Any) -> float:
    """A finite number. Raises `ValueError` for anything else."""
    # YAML takes 1e-3 for text.
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(value)
    return number


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of a type are read, what an error calls them, the type of the flag, and what may be given."""

    read: Callable[[Any], Any]
    said: str
    flag: Any
    given: str | None = None


# By the annotation of a field, without its `| None`. What may be given is the annotation, if nothing else is stated.
KINDS = {
    "int": Kind(as_whole_number, "a whole number", int),
    "float": Kind(as_number, "a number", float),
    "bool": Kind(as_switch, "true or false", bool),
    "str": Kind(as_text, "a text", str),
    "AsText": Kind(as_text, "a text", str, "str | Path | None"),
    "AsNumberOrText": Kind(as_text, "a text", str, "str | float | None"),
    "AsTexts": Kind(as_texts, "a list of paths", list[str], "str | Path | Sequence[str | Path]"),
}
