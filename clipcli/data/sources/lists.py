"""A list of paths, one a line: `@list.txt`, or standard input."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TextIO

from clipcli.errors import InputNotFound


def matches(text: str) -> bool:
    """Whether this is written as a list."""
    return len(text) > 1 and text.startswith("@")


def read(text: str) -> Iterator[str]:
    """The paths in the list file, as they are written there; relative ones are relative to where you are."""
    path = text[1:]
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            yield from lines(file)
    except OSError as e:
        raise InputNotFound(f"cannot read list {path}: {e.strerror}; check the path after @") from None


def as_bytes_are(stream: TextIO) -> TextIO:
    """Standard input made to let names through that are not UTF-8."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    return stream


def lines(stream: Iterable[str]) -> Iterator[str]:
    """The paths of a stream of lines, blank ones left out."""
    for line in stream:
        path = line.rstrip("\r\n")
        if path.strip():
            yield path
