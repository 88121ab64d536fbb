"""Image embeddings of several models, with one decode of the images."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone, Preprocessing
from clipcli.decode_threads import DecodeThreads
from clipcli.embed import Embedder
from clipcli.errors import UsageError
from clipcli.events import Event, ImagesEmbedded, Warned, result_of
from clipcli.images import batches_for_each, resizer
from clipcli.types import Entry, ImageItem, Skipped

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
            if embedded.note:
                yield Warned(embedded.note)
        entries += embedded.entries
        yield ImagesEmbedded(len(entries), len(items))
    return tuple(entries), [np.concatenate(found) for found in parts]


def image_embeddings(items: Sequence[ImageItem], *, backbone: Backbone) -> tuple[Array, list[int]]:
    """Embeddings `[M, D]` of the images that can be read, and their places among the items.

    Raises `UsageError` where none can be read.
    """
    entries, [embeddings] = result_of(embed_images(items, backbones=[backbone]))
    kept = [n for n, entry in enumerate(entries) if not isinstance(entry, Skipped)]
    if not kept:
        raise UsageError(f"no image of the validation data can be read, such as {items[0].id}; check the data")
    return embeddings, kept


def _pixels_of(preprocessing: Preprocessing) -> object:
    """All of it that pixels depend on; mean and standard deviation come later."""
    p = preprocessing
    return p.size, p.resize_mode, p.interpolation, p.fill_color
