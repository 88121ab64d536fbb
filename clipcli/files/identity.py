"""Tells whether a file is still the one it was, without reading it."""

from __future__ import annotations

import os
from pathlib import Path

# Windows gives the time at which a file was made in place of that of its last change.
_HAS_CHANGE_TIME = os.name != "nt"
_BLOCK = 4096


def state_of(path: str | Path) -> tuple[int, ...]:
    """Numbers that change when the file does: its size, the time of its content, of its last change, and its place.

    Tools such as `exiftran -i` and `touch -r` set a file's time back, but no tool that of its last change. Where the
    system has none, a hash of the first, the middle and the last block of the content stands in for it. Raises
    `OSError`.
    """
    stat = os.stat(path)
    changed = stat.st_ctime_ns if _HAS_CHANGE_TIME else _blocks(path, stat.st_size)
    return (stat.st_size, stat.st_mtime_ns, changed, stat.st_ino, stat.st_dev)


def _blocks(path: str | Path, size: int) -> int:
    """A hash of three blocks of the file."""
    import hashlib

    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        for start in (0, size // 2, max(0, size - _BLOCK)):
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return int.from_bytes(digest.digest())
