"""The table of kinds of data: how each is written, recognised and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from clipcli.data.kinds import addresses, files, folders, globs, lists, shards, tables, zips
from clipcli.data.patterns import expand_paths, is_glob
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data, split_zip
from clipcli.errors import InputNotFound
from clipcli.files.remote import is_remote
from clipcli.records import Skipped


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of data.

    `written` says how users write it, `matches` is true for DATA of this kind, `samples` gives its samples in order.
    """

    written: str
    matches: Callable[[Data], bool]
    samples: Callable[[Data, Reading], Iterable[Sample | Skipped]]


# The first kind that matches counts. Files come before lists and globs: a file may be named `@a.jpg` or `a[1].jpg`.
KINDS: dict[str, Kind] = {
    "stdin": Kind("- for a list on stdin", lists.is_stdin, lists.samples_of_stdin),
    "address": Kind("an s3://, gs://, hf:// or https:// address", addresses.matches, addresses.samples),
    "table": Kind("a .csv, .tsv, .json, .jsonl or .parquet", tables.matches, tables.samples),
    "shards": Kind("WebDataset .tar shards", shards.matches, shards.samples),
    "zip": Kind("data.zip or data.zip/folder", zips.matches, zips.samples),
    "folder": Kind("a folder", folders.matches, folders.samples),
    "file": Kind("an image", files.matches, files.samples),
    "list": Kind("@list.txt", lists.matches, lists.samples),
    "glob": Kind("a quoted glob", globs.matches, globs.samples),
}
# The kinds that are trees: they may have class folders and metadata files.
TREES = ("folder", "zip")


def kind_of(data: Data) -> str | None:
    """The name of DATA's kind; `None` if there is no such data."""
    return next((name for name, kind in KINDS.items() if kind.matches(data)), None)


def absolute(text: str) -> str:
    """The same data with an absolute path. The lines of a list are not changed."""
    if text == "-" or is_remote(text.removeprefix("@")):
        return text
    is_list = lists.matches(Data(text)) and not os.path.exists(text)
    return f"@{os.path.abspath(text[1:])}" if is_list else os.path.abspath(text)


def exists(text: str) -> bool:
    """True if the whole text names existing data, although it has a `=` and could be `NAME=PATH`."""
    if is_remote(text) or os.path.exists(text) or split_zip(text) is not None:
        return True
    if lists.matches(Data(text)):
        return os.path.exists(text[1:])
    try:
        return any(os.path.exists(path) for path in expand_paths(text)) if is_glob(text) or "{" in text else False
    except InputNotFound:
        return False
