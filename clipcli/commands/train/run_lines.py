"""Reads `metrics.jsonl` of a run back, for its report.

The run may be unfinished, killed or resumed. So each line may be missing, and of a step that was written twice the last
line counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcli.errors import InputNotFound
from clipcli.parsed import json_of

Line = dict[str, Any]
_ORDERED = ("step", "validation", "collapse", "wise_ft", "range_test")
# What the lines of a kind are ordered by, where it is not the step.
_ORDERED_BY = {"wise_ft": "alpha", "range_test": "lr"}


@dataclass(frozen=True, slots=True)
class RunLines:
    """The lines by kind: steps and validations in the order of steps, the `sweep` of WiSE-FT in the order of alpha.

    `look` is the first look at the images, and `rates` are the steps of the range test, the lowest rate first; both are
    empty where the rate was given.

    `collapses` are the steps at which the run was found to have collapsed.

    `start` is from the last time the run was started, and `end` is empty if it has not ended since. `unread` counts
    complete lines that are no records.
    """

    start: Line
    end: Line
    steps: Sequence[Line]
    validations: Sequence[Line]
    collapses: Sequence[Line]
    sweep: Sequence[Line]
    rates: Sequence[Line]
    look: Line
    unread: int


def read_lines(path: Path) -> RunLines:
    """Read the lines of a metrics file, without the last where it is incomplete. Raises `InputNotFound`."""
    text = read_text(path)
    if text is None:
        raise InputNotFound(f"no {path.name} in {path.parent}; give the folder of a training run")
    *whole, last = text.split("\n")
    start: Line = {}
    end: Line = {}
    look: Line = {}
    # By step, alpha or rate: the last line counts.
    kept: dict[str, dict[float, Line]] = {kind: {} for kind in _ORDERED}
    unread = 0
    for n, written in enumerate([*whole, last]):
        line = _record(written)
        if line is None:
            unread += n < len(whole) and bool(written.strip())
        elif line["kind"] == "start":
            start, end = line, {}
        elif line["kind"] == "end":
            end = line
        elif line["kind"] == "first_look":
            look = line
        elif (key := number(line, _ORDERED_BY.get(line["kind"], "step"))) is not None:
            kept.setdefault(line["kind"], {})[key] = line
    steps, validations, collapses, sweep, rates = ([kept[kind][key] for key in sorted(kept[kind])] for kind in _ORDERED)
    return RunLines(start, end, steps, validations, collapses, sweep, rates, look, unread)


def read_text(path: Path) -> str | None:
    """The text of a file, with bytes that are not UTF-8 as escapes; `None` without the file. Raises `InputNotFound`."""
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror}; make it readable") from None


def _record(text: str) -> Line | None:
    """The record in a line; `None` where it is incomplete or no record."""
    try:
        line = json_of(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("kind"), str) else None


def number(line: Line, key: str) -> float | None:
    """The value of a key if it is a number, else `None`."""
    value = line.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def values(lines: Sequence[Line], key: str) -> list[float]:
    """The values of a key in all lines where it is a number."""
    return [value for line in lines if (value := number(line, key)) is not None]
