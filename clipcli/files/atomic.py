"""Writes files atomically: under a hidden name beside the target, then moved into place.

The content is on the disk before the file has its name, and the name when `put_in_place` returns: a power cut leaves
the former file or the whole new one, where the disk keeps what it confirms.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

# As in <fcntl.h> and <stdio.h> of Linux and of macOS.
_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCL = -100, 1, 4
# What a file system says that does not know these flags.
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def write_bytes(path: Path, data: bytes) -> None:
    """Write or replace a file atomically. Of a link the target is replaced, not the link. Raises `OSError`."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a text in UTF-8, as `write_bytes` does; `errors` is as in `str.encode`. Raises `OSError`."""
    write_bytes(path, text.encode("utf-8", errors))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path for a new file, which is moved to `path` at the end and removed after an error. Raises `OSError`."""
    target = path.resolve()
    part = part_of(target)
    try:
        yield part
        put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder, which is moved to `path` at the end, in the place of one that is there, and removed after an error.

    All its files get the mode that a new file has. Raises `OSError`.
    """
    target = path.resolve()
    part, former = part_of(target), part_of(target)
    part.mkdir()
    try:
        yield part
        for file in (found for found in part.rglob("*") if found.is_file()):
            # Some libraries write files that only the owner can read.
            file.chmod(part.stat().st_mode & 0o666)
            _sync_file(file)
        if target.exists():
            target.rename(former)
        try:
            part.rename(target)
        except OSError:
            if former.exists():
                former.rename(target)
            raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)


def part_of(target: Path) -> Path:
    """A new hidden path beside the target: `.NAME.xxxxxxxx.part`, with random hex digits."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def put_in_place(part: Path, target: Path) -> None:
    """Move the written file to the target. A target that exists keeps its mode.

    Raises `OSError`, also if the target exists and is no plain file: a device or pipe is not replaced.
    """
    if target.exists():
        if not target.is_file():
            raise OSError(errno.EINVAL, "it is not a plain file")
        shutil.copymode(target, part)
    _sync_file(part)
    part.replace(target)
    sync_folder(target.parent)


def parts_of(target: Path) -> list[Path]:
    """The hidden files beside the target that `part_of` named, of runs that are alive or were killed, sorted."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    return sorted(path for path in target.parent.iterdir() if name.fullmatch(path.name))


def rename_new(source: str, target: str) -> None:
    """Move a file within a file system to a path at which nothing is, in one step.

    Raises `FileExistsError` if something is there, and `OSError`, with `EXDEV` for another file system.
    """
    code = _rename_exclusively(os.fsencode(source), os.fsencode(target))
    if code in _NOT_SUPPORTED:
        # Between these two another program could put a file there; but on Windows a rename never replaces one.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target)
    elif code:
        raise OSError(code, os.strerror(code), source, None, target)


def _rename_exclusively(source: bytes, target: bytes) -> int:
    """Rename without replacing; returns the number of the error, or 0."""
    import ctypes

    library = _system_library()
    if hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(source, target, _RENAME_EXCL)
    else:
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0


@cache
def _system_library() -> Any:
    """The functions of the system; `None` on Windows."""
    import ctypes

    return None if sys.platform == "win32" else ctypes.CDLL(None, use_errno=True)


def _sync_file(path: Path) -> None:
    """Bring the content of a file to the disk. Raises `OSError`, as of a disk that is full or fails."""
    # Windows syncs only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as e:
        # Some file systems, as of pipes of other programs, sync nothing.
        if e.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: str | Path) -> None:
    """Bring the names in a folder to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
