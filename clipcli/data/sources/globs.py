"""A glob that the shell left alone, because it was quoted."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import PurePath

from clipcli.errors import InputNotFound


def matches(text: str) -> bool:
    """Whether there is a wildcard in it."""
    return glob.has_magic(text)


def paths(text: str) -> Iterator[str]:
    """The paths that the glob finds, sorted by their parts; `**` goes down into folders, hidden ones are left out.

    What `**` finds are images: its folders hold nothing that it does not find itself.
    """
    found = sorted(glob.glob(text, recursive=True), key=lambda path: PurePath(path).parts)
    if "**" in PurePath(text).parts:
        found = [path for path in found if not os.path.isdir(path)]
    if not found:
        raise InputNotFound(f"nothing matches {text}; check the pattern")
    yield from found
