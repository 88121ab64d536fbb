"""Image embeddings of several models, with one decode of the images."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone, Preprocessing
from clipcli.encoding.embed import Embedder
from clipcli.errors import UsageError
from clipcli.events import Event, ImagesEmbedded, Warned, result_of
from clipcli.images.batches import batches_for_each
from clipcli.images.resize import resizer
from clipcli.images.threads import DecodeThreads
from clipcli.records import Entry, ImageItem, Skipped

Array = NDArray[np.float32]


def embed_images(
    items: Sequence[ImageItem], *, backbones: Sequence[Backbone]
) -> Generator[Event, None, tuple[tuple[Entry, ...], list[Array]]]:
    """The items, those that cannot be read as `Skipped`, and for each model the embeddings `[M, D]` of the others.

    Every image is read and decoded once, and resized once for the models that want the same pixels.
    """
    ways: dict[object, Preprocessing] = {}
    for backbone in backbones:
        ways.setdefault(_pixels_of(backbone.preprocessing), backbone.preprocessing)
    runtime = backbones[0].runtime
    threads = DecodeThreads(runtime.workers, most=runtime.most_workers)
    resizes = [resizer(way) for way in ways.values()]
    decoded = batches_for_each(resizes, items, batch_size=runtime.batch_size, threads=threads)
    embedders = [Embedder(backbone) for backbone in backbones]
    entries: list[Entry] = []
    parts: list[list[Array]] = [[np.empty((0, backbone.dimensions), np.float32)] for backbone in backbones]
    for batches in decoded:
        by_way = dict(zip(ways, batches, strict=True))
        for backbone, embedder, found in zip(backbones, embedders, parts, strict=True):
            embedded = embedder(by_way[_pixels_of(backbone.preprocessing)])
            found.append(embedded.embeddings)
            yield from map(Warned, embedded.notes)
        entries += embedded.entries
        yield ImagesEmbedded(len(entries), len(items))
    return tuple(entries), [np.concatenate(found) for found in parts]


def shares(
    entries: Sequence[Entry], embeddings: Sequence[Array], *, sizes: Sequence[tuple[str, int]]
) -> Iterator[tuple[Sequence[Entry], list[Array]]]:
    """Each DATA's entries, and of those that could be read the embeddings `[M, D]`, of what `embed_images` gave.

    `sizes` are the names of DATA with their numbers of images. Raises `UsageError` where of one none could be read.
    """
    first = row = 0
    for name, size in sizes:
        mine = entries[first : first + size]
        skipped = [entry for entry in mine if isinstance(entry, Skipped)]
        if len(skipped) == size:
            raise UsageError(f"{name}: no image can be read, such as {skipped[0].item.id}: {skipped[0].reason}")
        stop = row + size - len(skipped)
        yield mine, [one[row:stop] for one in embeddings]
        first, row = first + size, stop


def image_embeddings(items: Sequence[ImageItem], *, backbone: Backbone) -> tuple[Array, list[int]]:
    """Embeddings `[M, D]` of the images that can be read, and their places among the items.

    Raises `UsageError` where none can be read.
    """
    entries, embedded = result_of(embed_images(items, backbones=[backbone]))
    [(_, [embeddings])] = shares(entries, embedded, sizes=[("the validation data", len(items))])
    return embeddings, [n for n, entry in enumerate(entries) if not isinstance(entry, Skipped)]


def _pixels_of(preprocessing: Preprocessing) -> object:
    """All of it that pixels depend on; mean and standard deviation come later."""
    p = preprocessing
    return p.size, p.resize_mode, p.interpolation, p.fill_color
