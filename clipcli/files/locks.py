"""Locks files while a run writes them, so that other runs can tell it is alive."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def lock_file(part: Path) -> int | None:
    """Lock a file until the returned descriptor is closed or the process ends; `None` on Windows. Raises `OSError`."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(part, os.O_RDONLY)
    _lock(descriptor)
    return descriptor


def is_locked(part: Path) -> bool:
    """True if a running process has locked the file; always false on Windows. Raises `OSError`."""
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
    """Take the lock; false if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems do not support locks.
        return True
    return True
