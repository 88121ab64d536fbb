"""Changes of single files that happen as a whole or not at all, and never replace anything."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from clipcli.files.atomic import rename_new, sync_folder
from clipcli.files.identity import state_of

_BLOCK = 1 << 20


def write_file(data: bytes, target: str, *, part: str) -> None:
    """Write a new file, under the hidden name `part` first. Raises `FileExistsError` and `OSError`."""
    with removing(part):
        with open(part, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        rename_new(part, target)


def copy_file(source: str, target: str, *, part: str) -> None:
    """Copy a file with its times and permissions to a new path. Raises `FileExistsError` and `OSError`."""
    with removing(part):
        shutil.copyfile(source, part)
        _copy_times(source, part)
        rename_new(part, target)


def move_file(source: str, target: str, *, part: str) -> None:
    """Move a file to a new path; across file systems it is copied, brought to the disk, compared, and then removed.

    `part` is a hidden name beside the target. Raises `FileExistsError`, and `OSError` also if the copy differs or the
    source changes meanwhile. The source is then as it was, and the target not there.
    """
    try:
        rename_new(source, target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        _move_across(source, target, part=part)


def have_same_bytes(one: str, other: str) -> bool:
    """True if two files have the same content. Raises `OSError`."""
    with open(one, "rb") as first, open(other, "rb") as second:
        if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
            return False
        while block := first.read(_BLOCK):
            if block != second.read(_BLOCK):
                return False
        return not second.read(1)


def _move_across(source: str, target: str, *, part: str) -> None:
    before = state_of(source)
    with removing(part):
        shutil.copyfile(source, part)
        _to_disk(part)
        if not have_same_bytes(source, part):
            raise OSError(errno.EIO, "its copy is not the same", source)
        _copy_times(source, part)
        rename_new(part, target)
    sync_folder(os.path.dirname(target))
    try:
        if state_of(source) != before:
            raise OSError(errno.EBUSY, "it changed while it was copied", source)
        os.unlink(source)
    except OSError:
        os.unlink(target)
        raise
    sync_folder(os.path.dirname(source))


def _copy_times(source: str, part: str) -> None:
    """Give a copy the times and permissions of its source."""
    # A FAT file system has no permissions, and says so by an error.
    with suppress(PermissionError):
        shutil.copystat(source, part)
    stat = os.stat(source)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _to_disk(path: str) -> None:
    """Bring a file's bytes to the disk, so that the next read is of what is there."""
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def removing(part: str) -> Iterator[None]:
    """Remove a hidden file at the end, where it is still there."""
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
