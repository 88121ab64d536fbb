"""Files that are whole or not there: written under another name beside the target, then moved into place."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file, or replace one. The file behind a link is replaced, not the link. Raises `OSError`."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """`write_bytes` of a text in UTF-8; `errors` is for what cannot be encoded, as in `str.encode`."""
    write_bytes(path, text.encode("utf-8", errors))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file to write, which is moved to `path` at the end; after an error it is removed. Raises `OSError`."""
    target = path.resolve()
    part = part_of(target)
    try:
        yield part
        put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)


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
