"""Settings as help and reference show them, with the texts below the fields, which Python itself does not keep."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from clipcli.settings.record import About, Settings, about, flag, kind_of

# What settings are about, in the order of help and reference.
GROUPS = {
    "what": "What to work on",
    "how": "How it is done",
    "checks": "Validation",
    "output": "Output",
    "speed": "Speed and memory",
    "terminal": "The command line",
}


@dataclass(frozen=True, slots=True)
class Described:
    """A setting: `text` says what it does, `type` is that of its flag, `given` the Python types that it takes."""

    name: str
    text: str
    type: Any
    given: str
    default: Any
    about: About

    @property
    def flags(self) -> tuple[str, ...]:
        """Its flags: the long one, the one that switches it off, the short one; none where it is an argument."""
        if self.about.argument:
            return ()
        long = self.about.flag or flag(self.name)
        off = (f"--no-{long[2:]}",) if self.type is bool and not self.about.one_way else ()
        return (long, *off, *([self.about.short] if self.about.short else []))

    @property
    def metavar(self) -> str | None:
        """How its value is called; a switch has none."""
        if self.type is bool:
            return None
        return self.about.metavar or {int: "N", float: "X"}.get(self.type, self.name.upper())

    @property
    def choices(self) -> str:
        """The names that it may have, in a sentence; nothing where it may have others."""
        choices = self.about.choices
        if not choices:
            return ""
        if self.about.explained:
            return f"{'; '.join(f'{name}: {meaning}' for name, meaning in choices.items())}."
        return f"One of: {', '.join(choices)}."

    @property
    def by_default(self) -> str | None:
        """Its value where none is given; `None` where it is then simply absent, or must be given."""
        absent = self.default in (None, (), MISSING) or self.default is False
        if absent or self.about.by_default is not None:
            return self.about.by_default
        return "on" if self.default is True else str(self.default)

    @property
    def help(self) -> str:
        """What it does, its choices and its default."""
        default = f"[default: {self.by_default}]" if self.by_default is not None else ""
        return " ".join(filter(None, (self.text, self.choices, default)))


def described(*records: type[Settings]) -> dict[str, Described]:
    """The settings of records by name: arguments first, then group by group, what is rare last."""
    found = [one for record in records for one in _described(record)]
    groups = list(GROUPS)
    found.sort(key=lambda one: (not one.about.argument, groups.index(one.about.group), one.about.rare))
    return {one.name: one for one in found}


def _described(record: type[Settings]) -> Iterator[Described]:
    texts: dict[str, str] = {}
    for cls in filter(dataclasses.is_dataclass, reversed(record.__mro__)):
        texts |= _texts_of(cls.__module__).get(cls.__name__, {})
    for field in dataclasses.fields(record):
        kind, annotation = kind_of(field), str(field.type)
        given = kind.given or annotation.removeprefix("Reads[").rpartition(", tuple[")[0] or annotation
        yield Described(field.name, texts.get(field.name, ""), kind.flag, given, field.default, about(field))


@cache
def _texts_of(module: str) -> dict[str, dict[str, str]]:
    """The texts below the fields of a module's classes, by class and field; none where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return {}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_texts_below(node)) for node in classes}


def _texts_below(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())
