"""The pattern of `--folders`, such as `{label}/{year}`: the folders, one in the other, that an image goes to."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from clipcli.commands.sort.settings import DATES, FIELDS
from clipcli.errors import UsageError, unknown

# A part of a pattern: texts and the fields between them, which are true.
_Part = tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The parts of a pattern, one for each folder."""

    parts: tuple[_Part, ...]

    @property
    def has_date(self) -> bool:
        """True if one of its fields is of a date."""
        return any(text in DATES for part in self.parts for text, is_field in part if is_field)

    def folders(self, label: tuple[str, ...], score: float, *, day: date | None) -> tuple[str, ...]:
        """The names of the folders, not yet safe, for a label with the groups around it; a date is there if needed."""
        values = {"label": label[-1], "group": label[0], "score": _tenth(score)}
        if day is not None:
            values |= {"year": f"{day.year:04}", "month": f"{day.month:02}", "day": f"{day.day:02}"}
        folders: list[str] = []
        for part in self.parts:
            folders += label if part == (("label_path", True),) else [_filled(part, values)]
        return tuple(folders)


def read_pattern(text: str) -> Pattern:
    """Read a pattern. Raises `UnknownName` for a field that is none, and `UsageError` for one that leads out of DIR."""
    try:
        parsed = [
            (literal, field, form or conversion)
            for literal, field, form, conversion in string.Formatter().parse(text.replace("\\", "/"))
        ]
    except ValueError as e:
        raise UsageError(f"--folders {text} is not understood: {e}; write it as in '{{label}}/{{year}}'") from None
    parts: list[list[tuple[str, bool]]] = [[]]
    for literal, field, rest in parsed:
        first, *others = literal.split("/")
        parts[-1] += [(first, False)] if first else []
        parts += [[(other, False)] if other else [] for other in others]
        if field is not None:
            if field not in FIELDS or rest:
                raise unknown("field of --folders", field if field not in FIELDS else f"{field}:{rest}", FIELDS)
            parts[-1].append((field, True))
    found = Pattern(tuple(map(tuple, filter(None, parts))))
    _check(found, text)
    return found


def _check(pattern: Pattern, text: str) -> None:
    for part in pattern.parts:
        if ("label_path", True) in part and len(part) > 1:
            raise UsageError(f"--folders {text}: {{label_path}} is folders of its own; put a / before and after it")
        if len(part) == 1 and part[0] in ((".", False), ("..", False)):
            raise UsageError(f"--folders {text} leads out of its folder; leave out {part[0][0]}")
    if text.startswith(("/", "\\", "~")):
        raise UsageError(f"--folders {text} is below --into DIR; leave out its first character")


def _filled(part: _Part, values: Mapping[str, str]) -> str:
    return "".join(values[text] if is_field else text for text, is_field in part)


def _tenth(score: float) -> str:
    """The tenth that a score is in; 1 belongs to the last."""
    tenth = math.floor(score * 10 + 1e-9)
    tenth -= score >= 1 and tenth == 10
    return f"{tenth / 10:.1f}-{(tenth + 1) / 10:.1f}"
