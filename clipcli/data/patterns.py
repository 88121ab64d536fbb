"""Expands quoted globs, and brace ranges such as `shard-{000..012}.tar`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import PurePath

from clipcli.errors import InputNotFound

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_glob(text: str) -> bool:
    """True if the text has a wildcard."""
    return glob.has_magic(text)


def glob_paths(text: str) -> Iterator[str]:
    """The paths that match a glob, sorted by their parts; `**` matches folders at any depth, but no hidden ones.

    With `**` only files are returned, as the files of its folders match as well. Raises `InputNotFound` if nothing
    matches.
    """
    found = sorted(glob.glob(text, recursive=True), key=lambda path: PurePath(path).parts)
    if "**" in PurePath(text).parts:
        found = [path for path in found if not os.path.isdir(path)]
    if not found:
        raise InputNotFound(f"nothing matches {text}; check the pattern")
    yield from found


def expand_paths(text: str) -> Iterator[str]:
    """The paths of a brace range or a glob, in order; a path that exists or has neither is returned as it is.

    Paths of a brace range are not checked. Raises `InputNotFound` for a glob that matches nothing.
    """
    span = None if os.path.exists(text) else _RANGE.search(text)
    if span is not None:
        first, last = span.groups()
        width = len(first) if first.startswith("0") else 0
        down = -1 if int(last) < int(first) else 1
        for number in range(int(first), int(last) + down, down):
            yield from expand_paths(f"{text[: span.start()]}{number:0{width}}{text[span.end() :]}")
    elif is_glob(text) and not os.path.exists(text):
        yield from glob_paths(text)
    else:
        yield text
