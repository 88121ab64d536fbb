"""Reads the lines of text of a stream, with line ends of any system."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple


class Record(NamedTuple):
    """The fields of a row and its first line, from 1.

    `more` are the further lines that a quoted field goes over. `joined` marks a field that holds line ends or tabs in a
    table whose fields hold none unless they are in quotes.
    """

    line: int
    fields: list[str]
    more: Sequence[str] = ()
    joined: bool = False


def lines_of(stream: BinaryIO) -> Iterator[str]:
    r"""The lines with their ends, `\n`, `\r\n` or `\r` alone, and without a byte order mark.

    Bytes that are not UTF-8 become surrogates, as in file names.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from text
    finally:
        if not stream.closed:
            # The stream is closed by who opened it.
            text.detach()
