"""Opens, closes and reads UTF-8 text files with `\\n` line ends, and standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO


def open_text(path: str, *, errors: str) -> TextIO:
    """Open a file for writing UTF-8; `-` is standard output. `errors` is for what cannot be encoded, as in `open`."""
    if path == "-":
        stdout = sys.stdout
        if hasattr(stdout, "reconfigure"):
            stdout.reconfigure(encoding="utf-8", errors=errors, newline="\n")
        return stdout
    return open(path, "w", encoding="utf-8", errors=errors, newline="\n")


def close_text(stream: TextIO) -> None:
    """Close a file; standard output is only flushed."""
    if stream is sys.stdout:
        stream.flush()
    else:
        stream.close()


def lines_of(path: str, *, errors: str, cut: bool) -> Iterator[str]:
    """The lines of a file, with their ends; with `cut`, a last line without an end is left out.

    Raises `OSError`, and `UnicodeDecodeError` if `errors` is strict.
    """
    with open(path, "rb") as file:
        for line in file:
            if cut and not line.endswith(b"\n"):
                return
            yield line.decode("utf-8", errors)


def writable(text: str) -> str:
    """The text with surrogates that `surrogateescape` cannot encode written out as `\\udXXX`."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
