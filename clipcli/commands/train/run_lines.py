"""What a run's folder says of it: the lines of `metrics.jsonl`, read back.

A run may still be going on, have been cut off or have gone on from a checkpoint, so every line may be missing, and a
step that was written twice counts as it was written last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcli.errors import InputNotFound

Line = dict[str, Any]
_ORDERED = ("step", "validation", "wise_ft")


@dataclass(frozen=True, slots=True)
class RunLines:
    """The lines by kind: steps and validations by step, mixes by share; `unread` counts whole lines without a record.

    `start` is that of the last time the run was started, and `end` is empty until it has ended since.
    """

    start: Line
    end: Line
    steps: Sequence[Line]
    validations: Sequence[Line]
    sweep: Sequence[Line]
    unread: int


def read_lines(path: Path) -> RunLines:
    """The lines of a metrics file; the last is left out where it was cut off. Raises `InputNotFound`."""
    text = read_text(path)
    if text is None:
        raise InputNotFound(f"no {path.name} in {path.parent}; give the folder of a training run")
    *whole, last = text.split("\n")
    start: Line = {}
    end: Line = {}
    # By step, or by the share of the mix: what was written last counts.
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
        elif (key := number(line, "alpha" if line["kind"] == "wise_ft" else "step")) is not None:
            kept.setdefault(line["kind"], {})[key] = line
    steps, validations, sweep = ([kept[kind][key] for key in sorted(kept[kind])] for kind in _ORDERED)
    return RunLines(start, end, steps, validations, sweep, unread)


def read_text(path: Path) -> str | None:
    """The text of a file, what is not UTF-8 in it as escapes; nothing where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror}; make it readable") from None


def _record(text: str) -> Line | None:
    """The record in a line, or nothing where it was cut off."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("kind"), str) else None


def number(line: Line, key: str) -> float | None:
    """The number there, if there is one."""
    value = line.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def values(lines: Sequence[Line], key: str) -> list[float]:
    """The numbers there, of the lines that have one."""
    return [value for line in lines if (value := number(line, key)) is not None]
