"""Where text formats write: a UTF-8 file with `\\n` line ends, or standard output; and how such a file is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO


def open_text(path: str, *, errors: str) -> TextIO:
    """The file, or standard output for `-`, made to write UTF-8; `errors` is for names that are not."""
    if path == "-":
        stdout = sys.stdout
        if hasattr(stdout, "reconfigure"):
            stdout.reconfigure(encoding="utf-8", errors=errors, newline="\n")
        return stdout
    return open(path, "w", encoding="utf-8", errors=errors, newline="\n")


def close_text(stream: TextIO) -> None:
    """Close a file; leave standard output open."""
    if stream is sys.stdout:
        stream.flush()
    else:
        stream.close()


def lines_of(path: str, *, errors: str, cut: bool) -> Iterator[str]:
    """The lines of a file; of one that may be `cut`, up to the last that has its end.

    Raises `UnicodeDecodeError` as `errors` says.
    """
    with open(path, "rb") as file:
        for line in file:
            if cut and not line.endswith(b"\n"):
                return
            yield line.decode("utf-8", errors)


def writable(text: str) -> str:
    """The text as a file takes it that keeps the bytes of odd names: half of a character is written out."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
