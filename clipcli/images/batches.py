"""Batches of pixels: images read and decoded in threads that look a bounded way ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clipcli.images.decode import Result, attempt, decode, register_plugins
from clipcli.images.resize import Least, Resize
from clipcli.images.threads import DecodeThreads
from clipcli.records import Batch, Entry, ImageItem, Remembered, Skipped

Pixels = NDArray[np.uint8]


def batches(
    items: Iterable[ImageItem | Remembered],
    *,
    resize: Resize,
    batch_size: int,
    threads: DecodeThreads,
    least: Least | None = None,
) -> Iterator[Batch]:
    """Batches of up to `batch_size` inputs in order, bad ones included as `Skipped`; remembered ones are not read.

    `least` is as in `decode`; the threads' watch takes the time to `read` and to `decode`, and the threads are closed.

    At most two batches are decoded ahead of the one that was asked for.
    """
    for (batch,) in batches_for_each((resize,), items, batch_size=batch_size, threads=threads, least=least):
        yield batch


def batches_for_each(
    resizes: Sequence[Resize],
    items: Iterable[ImageItem | Remembered],
    *,
    batch_size: int,
    threads: DecodeThreads,
    least: Least | None = None,
) -> Iterator[tuple[Batch, ...]]:
    """`batches` for several ways to resize at once: each image is read and decoded only once."""
    register_plugins()
    entries: list[Entry | Remembered] = []
    pixels: list[list[Pixels]] = []

    def resized(data: bytes) -> list[Pixels]:
        image = decode(data, least=least)
        return [np.array(resize(image)) for resize in resizes]

    for item, decoded in _look_ahead(items, resized, most=2 * batch_size, threads=threads):
        if isinstance(decoded, Skipped):
            entries.append(decoded)
        else:
            entries.append(item)
            pixels += [] if decoded is None else [decoded]
        if len(entries) == batch_size:
            yield tuple(to_batch(entries, [one[n] for one in pixels]) for n in range(len(resizes)))
            entries, pixels = [], []
    if entries:
        yield tuple(to_batch(entries, [one[n] for one in pixels]) for n in range(len(resizes)))


def _look_ahead(
    items: Iterable[ImageItem | Remembered],
    use: Callable[[bytes], Result],
    *,
    most: int,
    threads: DecodeThreads,
) -> Iterator[tuple[ImageItem | Remembered, Result | Skipped | None]]:
    """Each item with the result of `use` on its bytes, made in threads up to `most` items ahead.

    The result is `None` for what is wholly remembered, which is not read.
    """
    pending: deque[Callable[[], tuple[ImageItem | Remembered, Result | Skipped | None]]] = deque()
    try:
        for item in items:
            if isinstance(item, Remembered) and item.is_whole:
                pending.append(partial(_as_it_is, item))
            else:
                image = item.item if isinstance(item, Remembered) else item
                read = threads.submit(partial(attempt, image, use, watch=threads.watch))
                pending.append(partial(_awaited, item, read, threads))
            if len(pending) > most:
                yield pending.popleft()()
        while pending:
            yield pending.popleft()()
    finally:
        threads.close()


def _as_it_is(remembered: Remembered) -> tuple[Remembered, None]:
    return remembered, None


def _awaited(
    item: ImageItem | Remembered, future: Future[Result], threads: DecodeThreads
) -> tuple[ImageItem | Remembered, Result]:
    result = future.result()
    threads.one_done()
    return item, result


def to_batch(entries: Sequence[Entry | Remembered], pixels: Sequence[Pixels]) -> Batch:
    """A batch of these entries, with the pixels of those that are neither skipped nor wholly remembered."""
    return Batch(tuple(entries), np.stack(pixels) if pixels else np.empty((0, 0, 0, 3), np.uint8))
