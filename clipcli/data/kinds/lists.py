"""A list of paths, one per line, in a file (`@list.txt`) or on standard input (`-`), also as JSON or between NULs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TextIO

from clipcli.data.kinds.paths import samples_of_paths
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data
from clipcli.errors import BadFile, InputNotFound
from clipcli.files.remote import open_bytes
from clipcli.parsed import json_of
from clipcli.records import Skipped

_BLOCK = 1 << 20
# The keys of objects that may have the path of an image.
_KEYS = ("path", "file", "image", "file_name", "filename")


def matches(data: Data) -> bool:
    """True for `@` and a path."""
    return len(data.text) > 1 and data.text.startswith("@")


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of the paths in the list file. Raises `InputNotFound` if it cannot be read."""
    return samples_of_paths(_read(data.text[1:], null=reading.null), data, reading)


def is_stdin(data: Data) -> bool:
    """True for `-`."""
    return data.text == "-"


def samples_of_stdin(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images of the paths on standard input. Raises `InputNotFound` if there is no standard input."""
    if reading.stdin is None:
        raise InputNotFound("'-' reads a list from standard input, and there is none here; give paths")
    return samples_of_paths(_paths(_as_bytes_are(reading.stdin), "-", null=reading.null), data, reading)


def _read(path: str, *, null: bool) -> Iterator[str]:
    """The paths in the list file, as written; relative ones are relative to the working folder."""
    try:
        with open_bytes(path) as data, io.TextIOWrapper(data, "utf-8-sig", "surrogateescape", newline="\n") as file:
            yield from _paths(file, path, null=null)
    except OSError as e:
        raise InputNotFound(f"cannot read list {path}: {e.strerror or e}; check the path after @") from None


def _as_bytes_are(stream: TextIO) -> TextIO:
    """Standard input, reconfigured to keep names that are not UTF-8."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    return stream


def _paths(stream: TextIO, name: str, *, null: bool) -> Iterator[str]:
    """The paths of a list: one a line, blank ones left out; with `null`, whatever stands between NUL characters.

    Where the first line is JSON, or the list is called `.jsonl`, all are. Raises `BadFile` with the line.
    """
    if null:
        yield from filter(None, _parts(stream))
        return
    is_json = name.lower().endswith((".jsonl", ".ndjson"))
    for number, line in enumerate(stream, 1):
        path = line.rstrip("\r\n")
        if not path.strip():
            continue
        if "\0" in path:
            raise BadFile(f"{name}, line {number}: a NUL character, which no path has; give --null")
        if number == 1 and path.startswith(('{"', '"')):
            is_json = is_json or _of_json(path) is not None
        found = _of_json(path) if is_json else path
        if found is None:
            raise BadFile(f'{name}, line {number}: no path; write it as in "a.jpg" or {{"path": "a.jpg"}}')
        yield found


def _parts(stream: TextIO) -> Iterator[str]:
    """What stands between NUL characters."""
    rest = ""
    while block := stream.read(_BLOCK):
        *parts, rest = (rest + block).split("\0")
        yield from parts
    yield rest.rstrip("\n")


def _of_json(line: str) -> str | None:
    """The path in a line of JSON: a text, or an object that has it; `None` if there is none."""
    try:
        value = json_of(line)
    except ValueError:
        return None
    if isinstance(value, dict):
        value = next((value[key] for key in _KEYS if key in value), None)
    return value if isinstance(value, str) and value else None
