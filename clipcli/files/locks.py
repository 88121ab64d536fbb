"""Locks files while a run writes them, so that other runs can tell it is alive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipcli.errors import UsageError

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


@contextmanager
def only_writer(output: str, *, called: str | None = None) -> Iterator[None]:
    """Keep other runs from writing an output, from before it is read until the last byte of it is written.

    The lock is on a file of its own, `.NAME.lock`, as the output is replaced while it is written, and may not be there
    yet. It is removed at the end; one that a kill left is taken over. Raises `UsageError` while another run has it, in
    which the output is `called` so.
    """
    target = Path(output).resolve()
    path = target.with_name(f".{target.name}.lock")
    descriptor = _taken(path, called or output)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _taken(path: Path, output: str) -> int | None:
    """The descriptor of the locked file; `None` on Windows, and where no file can be made, which is for others to say.

    Raises `UsageError` if another process has locked it.
    """
    if sys.platform == "win32":
        return None
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        if not _lock(descriptor):
            process = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            run = f"another run (process {process})" if process else "another run"
            raise UsageError(f"{run} is writing {output}; wait for its end, or end it, or give another --output")
        # The run that had it may have removed it meanwhile.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                # A full disk has no room for the number, but for the lock.
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                return descriptor
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
