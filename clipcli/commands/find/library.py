"""The images that are searched, with their embeddings: of a folder from its index, of others from the cache.

An index that is not current is made anew: images that it knows keep their embeddings, others are looked up in the cache
or encoded.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.find.settings import FindSettings
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.errors import CacheUnusable
from clipcli.events import Event, Noted, Warned
from clipcli.memory.folder_index import (
    FolderIndex,
    are_settled,
    file_states,
    folder_states,
    index_key,
    read_index,
    write_index,
)
from clipcli.notices import Notices
from clipcli.records import Entry, ImageItem, Reference, Skipped

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """Images that are searched, or some of them: `embeddings` `[N, D]`, and the N images by their `names`.

    `items` are the images; `None` where they are files below the folder `root`.
    """

    embeddings: Array
    names: Sequence[str]
    skipped: tuple[Skipped, ...]
    items: Sequence[ImageItem] | None = None
    root: str = ""

    def item(self, n: int) -> ImageItem:
        """The image of a row."""
        return self.items[n] if self.items is not None else _file(self.root, self.names[n])


def read_library(options: FindSettings, *, model: Model) -> Generator[Event, None, list[Part]]:
    """The images of the inputs with their embeddings, those of each folder from its index.

    The model is known: an index is of one model. Raises as `list_images`, and the errors of encoding.
    """
    inputs = options.inputs or (os.curdir,)
    parts: list[Part] = []
    others: list[str | ImageItem] = []
    for one in inputs:
        if isinstance(one, str) and os.path.isdir(one) and model.store is not None:
            parts.append((yield from _folder(one, options, model=model)))
        else:
            others.append(one)
    if others:
        parts.append((yield from _others(others, options, model=model)))
    return parts


def _folder(root: str, options: FindSettings, *, model: Model) -> Generator[Event, None, Part]:
    """The images of a folder, from its index if that is current."""
    store = model.store
    key = index_key(root, exclude=options.exclude, made_by="" if store is None else store.made_by)
    known = None if options.verify else (yield from _kept(key))
    if known is None or not known.is_current(root):
        index = yield from _indexed(root, options, known, model=model)
        if not _are_same(index, known):
            # An index is only for speed.
            with suppress(OSError):
                write_index(key, index)
        known = index
    for warns, message in known.said:
        yield Warned(message) if warns else Noted(message)
    count = len(known.embeddings)
    unread = [_file(root, name) for name in known.names[count:]]
    skipped = tuple(Skipped(item, reason) for item, reason in zip(unread, known.reasons, strict=True))
    return Part(known.embeddings, known.names[:count], skipped, root=root)


def _kept(key: str) -> Generator[Event, None, FolderIndex | None]:
    """The index that an earlier run kept. If it is damaged, a `Warned` says so."""
    try:
        return read_index(key)
    except CacheUnusable as e:
        yield Warned(f"{e}; it is made anew")
        return None


def _indexed(
    root: str, options: FindSettings, known: FolderIndex | None, *, model: Model
) -> Generator[Event, None, FolderIndex]:
    """An index of the folder as it is now; images that are `known` and did not change keep their embeddings."""
    notices, listed_at = Notices(), time.time_ns()
    listed: list[str] = []
    items = list_images([root], notices=notices, exclude=options.exclude, listed=listed)
    start = os.path.join(root, "")
    names = [item.id.removeprefix(start) for item in items]
    folders = ["" if folder == root else folder.removeprefix(start) for folder in listed]
    of_folders, settled = folder_states(root, folders), are_settled(root, folders, listed_at=listed_at)
    states = file_states(root, names)
    rows = {} if known is None else _rows(known)
    found = [rows.get(place) for place in zip(names, states.tolist(), strict=True)]
    new = [n for n, row in enumerate(found) if row is None]
    entries, encoded = yield from _embedded([items[n] for n in new], model=model)
    bad = {n: entry.reason for n, entry in zip(new, entries, strict=True) if isinstance(entry, Skipped)}
    good = [n for n in range(len(items)) if n not in bad]
    embeddings = np.empty((len(good), model.facts.dimensions if model.facts else 0), np.float32)
    is_new = np.array([found[n] is None for n in good], bool)
    embeddings[is_new] = encoded
    if known is not None:
        embeddings[~is_new] = known.embeddings[[row for n in good if (row := found[n]) is not None]]
    order = [*good, *bad]
    said = tuple((isinstance(event, Warned), event.message) for event in notices.events())
    return FolderIndex(
        embeddings=embeddings,
        names=tuple(names[n] for n in order),
        reasons=tuple(bad.values()),
        states=states[order],
        folders=tuple(folders),
        folder_states=of_folders,
        said=said,
        settled=settled,
    )


def _rows(index: FolderIndex) -> dict[tuple[str, int], int]:
    """The row of each image of an index, by its name and the state of its file."""
    count = len(index.embeddings)
    return {place: n for n, place in enumerate(zip(index.names[:count], index.states[:count].tolist(), strict=True))}


def _are_same(index: FolderIndex, known: FolderIndex | None) -> bool:
    """True if the index says nothing that `known` does not say."""
    if known is None:
        return False
    scalars = all(
        getattr(index, name) == getattr(known, name) for name in ("names", "reasons", "folders", "said", "settled")
    )
    return scalars and all(
        np.array_equal(getattr(index, name), getattr(known, name)) for name in ("states", "folder_states")
    )


def _others(inputs: Sequence[str | ImageItem], options: FindSettings, *, model: Model) -> Generator[Event, None, Part]:
    """Images that are in no folder, or without a cache; their embeddings are looked up one by one, or encoded."""
    notices = Notices()
    items = list_images(
        inputs, stdin=sys.stdin, image_column=options.image_column, notices=notices, exclude=options.exclude
    )
    yield from notices.events()
    entries, embeddings = yield from _embedded(items, model=model)
    good = [entry for entry in entries if isinstance(entry, ImageItem)]
    skipped = tuple(entry for entry in entries if isinstance(entry, Skipped))
    return Part(embeddings, [item.id for item in good], skipped, items=good)


def _embedded(items: Sequence[ImageItem], *, model: Model) -> Generator[Event, None, tuple[tuple[Entry, ...], Array]]:
    """The entry of each image, and the embeddings `[N, D]` of those that can be read."""
    if not items:
        return (), np.empty((0, model.facts.dimensions if model.facts else 0), np.float32)
    entries, [embeddings] = yield from embed_images(items, models=[model])
    return entries, embeddings


def _file(root: str, name: str) -> ImageItem:
    path = os.path.join(root, name)
    return ImageItem(path, Reference("file", path))
