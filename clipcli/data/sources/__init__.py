"""Inputs: whatever names images, as one ordered list of `ImageItem`.

The order is the order of the inputs, and within a folder, archive or glob the code-point order of the paths' parts:
the same on every machine and in every locale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from clipcli.data.sources import archive, files, folder, globs, lists
from clipcli.data.sources.suffixes import IMAGE_SUFFIXES
from clipcli.errors import InputNotFound
from clipcli.records import ImageItem


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of input: how it is written, whether a text is of this kind, and the images it names."""

    written: str
    matches: Callable[[str], bool]
    items: Callable[[str], Iterable[ImageItem]]


# The first row that matches is taken: what is really called like a list or a glob is not one.
SOURCES: dict[str, Source] = {
    "archive": Source("data.zip or data.zip/folder", archive.matches, archive.items),
    "folder": Source("a folder", folder.matches, folder.items),
    "file": Source("an image", files.matches, files.items),
    "list": Source("@list.txt", lists.matches, lambda text: _listed(lists.read(text))),
    "glob": Source("a quoted glob", globs.matches, lambda text: _listed(globs.paths(text))),
}


def list_images(inputs: Sequence[str], *, stdin: TextIO | None = None) -> list[ImageItem]:
    """All images that `inputs` name, in order; `-` stands for a list of paths on `stdin`.

    Raises `InputNotFound` for an input that is not there, and where one holds no image. What a list names is
    not checked here: a missing file in a list becomes a row with its reason.
    """
    items: list[ImageItem] = []
    for text in inputs:
        before = len(items)
        items += _items(text, stdin)
        if len(items) == before:
            raise InputNotFound(f"no images in {text}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    if not items:
        raise InputNotFound("no inputs were given; give images, folders, globs or lists")
    return items


def _items(text: str, stdin: TextIO | None) -> Iterable[ImageItem]:
    if text == "-":
        if stdin is None:
            raise InputNotFound("'-' reads a list from standard input, and there is none here; give paths")
        return _listed(lists.lines(lists.as_bytes_are(stdin)))
    for source in SOURCES.values():
        if source.matches(text):
            return source.items(text)
    raise InputNotFound(f"no such image, folder or list: {text}; check the path")


def _listed(paths: Iterable[str]) -> Iterator[ImageItem]:
    for path in paths:
        if folder.matches(path):
            yield from folder.items(path)
        elif archive.matches(path):
            yield from archive.items(path)
        else:
            yield files.item(path)
