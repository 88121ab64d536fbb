"""Locks that say that a run which is alive is writing a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def lock_file(part: Path) -> int | None:
    """Mark the file as being written by a run that is alive: until this descriptor is closed, or the process ends."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(part, os.O_RDONLY)
    _lock(descriptor)
    return descriptor


def is_locked(part: Path) -> bool:
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
