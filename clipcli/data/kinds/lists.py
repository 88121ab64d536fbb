"""A list of paths, one per line, in a file (`@list.txt`) or on standard input (`-`)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TextIO

from clipcli.data.kinds.paths import samples_of_paths
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound
from clipcli.files.remote import open_bytes
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True for `@` and a path."""
    return len(data.text) > 1 and data.text.startswith("@")


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of the paths in the list file. Raises `InputNotFound` if it cannot be read."""
    return samples_of_paths(_read(data.text[1:]), data, reading)


def is_stdin(data: Data) -> bool:
    """True for `-`."""
    return data.text == "-"


def samples_of_stdin(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of the paths on standard input. Raises `InputNotFound` if there is no standard input."""
    if reading.stdin is None:
        raise InputNotFound("'-' reads a list from standard input, and there is none here; give paths")
    return samples_of_paths(_lines(_as_bytes_are(reading.stdin)), data, reading)


def _read(path: str) -> Iterator[str]:
    """The paths in the list file, as written; relative ones are relative to the working folder."""
    try:
        with open_bytes(path) as data, io.TextIOWrapper(data, "utf-8-sig", "surrogateescape", newline="\n") as file:
            yield from _lines(file)
    except OSError as e:
        raise InputNotFound(f"cannot read list {path}: {e.strerror or e}; check the path after @") from None


def _as_bytes_are(stream: TextIO) -> TextIO:
    """Standard input, reconfigured to keep names that are not UTF-8."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    return stream


def _lines(stream: Iterable[str]) -> Iterator[str]:
    """The lines without their ends; blank ones are left out."""
    for line in stream:
        path = line.rstrip("\r\n")
        if path.strip():
            yield path
