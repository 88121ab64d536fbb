"""Writes files atomically: under a hidden name beside the target, then moved into place."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    part.replace(target)


def parts_of(target: Path) -> list[Path]:
    """The hidden files beside the target that `part_of` named, of runs that are alive or were killed, sorted."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    return sorted(path for path in target.parent.iterdir() if name.fullmatch(path.name))
