"""Files that are whole or not there: written under another name beside the target, then moved into place."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


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


def hold(part: Path) -> int | None:
    """Mark the file as being written by a run that is alive: until this descriptor is closed, or the process ends."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(part, os.O_RDONLY)
    _lock(descriptor)
    return descriptor


def is_held(part: Path) -> bool:
    """Whether a run that is alive holds this file; never so where the system has no such locks."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock; false where another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some file systems of networks know no locks.
        return True
    return True
