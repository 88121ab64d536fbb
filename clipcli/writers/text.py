"""Where text formats write: a UTF-8 file with `\\n` line ends, or standard output."""

from __future__ import annotations

import sys
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
