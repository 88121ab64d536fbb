"""Patterns that stand for several paths: globs that the shell left alone, and brace ranges."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import PurePath

from clipcli.errors import InputNotFound

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_glob(text: str) -> bool:
    """True where there is a wildcard in it."""
    return glob.has_magic(text)


def glob_paths(text: str) -> Iterator[str]:
    """The paths that the glob finds, sorted by their parts; `**` goes down into folders, hidden ones are left out.

    Of what `**` finds only files are taken: its folders hold nothing that it does not find itself. Raises
    `InputNotFound` where it finds nothing.
    """
    found = sorted(glob.glob(text, recursive=True), key=lambda path: PurePath(path).parts)
    if "**" in PurePath(text).parts:
        found = [path for path in found if not os.path.isdir(path)]
    if not found:
        raise InputNotFound(f"nothing matches {text}; check the pattern")
    yield from found


def expanded(text: str) -> Iterator[str]:
    """The paths behind a path, a brace range or a glob, in order; whether they are there is not looked at."""
    span = None if os.path.exists(text) else _RANGE.search(text)
    if span is not None:
        first, last = span.groups()
        width = len(first) if first.startswith("0") else 0
        down = -1 if int(last) < int(first) else 1
        for number in range(int(first), int(last) + down, down):
            yield from expanded(f"{text[: span.start()]}{number:0{width}}{text[span.end() :]}")
    elif is_glob(text) and not os.path.exists(text):
        yield from glob_paths(text)
    else:
        yield text
