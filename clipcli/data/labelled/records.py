"""Images with the names of their classes, as they were read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clipcli.data.pairs.captions import is_utf8
from clipcli.records import ImageItem, Skipped


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are called; `None` where that is to be guessed."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image with the name of its class, as DATA says it; `key` is its place within DATA, without a suffix."""

    item: ImageItem
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class LabelledData:
    """One DATA, read: `names` are those of all classes, also without images; `called` says what is named so."""

    text: str
    called: str
    entries: tuple[Labelled | Skipped, ...]
    names: tuple[str, ...]


def labelled_of(read: LabelledData) -> Iterator[Labelled]:
    """The entries that are images with a label."""
    return (entry for entry in read.entries if isinstance(entry, Labelled))


def names_of(entries: Sequence[Labelled | Skipped]) -> tuple[str, ...]:
    """The names of all classes that have an image, sorted."""
    return tuple(sorted({entry.name for entry in entries if isinstance(entry, Labelled)}))


def name_in(cell: object) -> str | None:
    """The name in a cell or a member; a whole number is a name too, and nothing, blank or no whole text is `None`."""
    if isinstance(cell, float) and cell.is_integer():
        # Tables with a gap in a column write all its numbers as 1.0.
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        return None
    text = str(cell).strip()
    return text if text and is_utf8(text) else None


def key_of(path: str) -> str:
    """The place of an image within DATA: its path there, without a suffix."""
    return os.path.splitext(path)[0]


def named_twice(read: LabelledData) -> dict[str, tuple[str, ...]]:
    """The images that stand there with more than one name, with those names."""
    names: dict[str, dict[str, None]] = {}
    for labelled in labelled_of(read):
        names.setdefault(os.path.normpath(labelled.item.id), {})[labelled.name] = None
    return {image: tuple(found) for image, found in names.items() if len(found) > 1}
