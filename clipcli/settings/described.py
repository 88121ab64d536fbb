"""Describes settings for help and reference, with the texts below the fields."""

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

# Groups of settings with their titles, in the order of help and reference.
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
    """A setting: `text` is its help, `type` the type of its flag, `accepts` its type in Python, as source."""

    name: str
    text: str
    type: Any
    accepts: str
    default: Any
    about: About

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags: the long one, the one that switches it off, and the short one. Empty for an argument."""
        if self.about.argument:
            return ()
        long = self.about.flag or flag(self.name)
        off = (f"--no-{long[2:]}",) if self.type is bool and not self.about.one_way else ()
        return (long, *off, *([self.about.short] if self.about.short else []))

    @property
    def metavar(self) -> str | None:
        """The placeholder for the value in help, such as `FILE`; `None` for a switch."""
        if self.type is bool:
            return None
        return self.about.metavar or {int: "N", float: "X"}.get(self.type, self.name.upper())

    @property
    def choices(self) -> str:
        """The choices in a sentence; empty if any value is allowed."""
        choices = self.about.choices
        if not choices:
            return ""
        if self.about.explained:
            return f"{'; '.join(f'{name}: {meaning}' for name, meaning in choices.items())}."
        return f"One of: {', '.join(choices)}."

    @property
    def by_default(self) -> str | None:
        """The default, in words; `None` if there is none worth telling, or the setting is required."""
        absent = self.default in (None, (), MISSING) or self.default is False
        if absent or self.about.by_default is not None:
            return self.about.by_default
        return "on" if self.default is True else str(self.default)

    @property
    def help(self) -> str:
        """The help: the text, the choices and the default."""
        default = f"[default: {self.by_default}]" if self.by_default is not None else ""
        return " ".join(filter(None, (self.text, self.choices, default)))


def described(*records: type[Settings]) -> dict[str, Described]:
    """The settings of records by name: arguments first, then by group, with rare ones last in each group."""
    found = [setting for record in records for setting in _described(record)]
    groups = list(GROUPS)
    found.sort(key=lambda setting: (not setting.about.argument, groups.index(setting.about.group), setting.about.rare))
    return {setting.name: setting for setting in found}


def _described(record: type[Settings]) -> Iterator[Described]:
    texts: dict[str, str] = {}
    for cls in filter(dataclasses.is_dataclass, reversed(record.__mro__)):
        texts |= _texts_of(cls.__module__).get(cls.__name__, {})
    for field in dataclasses.fields(record):
        kind, annotation = kind_of(field), str(field.type)
        accepts = kind.accepts or annotation.removeprefix("Reads[").rpartition(", tuple[")[0] or annotation
        yield Described(field.name, texts.get(field.name, ""), kind.flag, accepts, field.default, about(field))


@cache
def _texts_of(module: str) -> dict[str, dict[str, str]]:
    """The texts below the fields of a module's classes, by class and field; empty if there is no source code.

    Python does not keep them, so they are read from the source.
    """
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
