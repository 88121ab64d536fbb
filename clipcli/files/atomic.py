"""Files that are whole or not there: written under another name beside the target, then moved into place."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
import sys
from pathlib import Path

if sys.platform != "win32":
    pass


def part_of(target: Path) -> Path:
    """A new name beside the target, its own for every run, hidden so that nobody takes it for a result."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def put_in_place(part: Path, target: Path) -> None:
    """Move the written file to the target, which keeps its mode if it was there.

    Raises `OSError`, also where the target is a device or a pipe, which must not become a file.
    """
    if target.exists():
        if not target.is_file():
            raise OSError(errno.EINVAL, "it is not a plain file")
        shutil.copymode(target, part)
    part.replace(target)


def parts_of(target: Path) -> list[Path]:
    """The files that `part_of` named, of runs that go on or were killed, sorted."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    return sorted(path for path in target.parent.iterdir() if name.fullmatch(path.name))
