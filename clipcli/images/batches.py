"""Reads, decodes and resizes images in threads, a bounded number ahead, as batches of pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np

from clipcli.images.decode import Result, prepare_pillow
from clipcli.images.resize import Least, Resize
from clipcli.images.threads import DecodeThreads
from clipcli.images.wanted import Found, Pixels, Read, look_with, reading
from clipcli.notices import Notices
from clipcli.records import Batch, Entry, ImageItem, Remembered, Skipped


def batches(
    items: Iterable[ImageItem | Remembered],
    *,
    resize: Resize,
    batch_size: int,
    threads: DecodeThreads,
    least: Least | None = None,
    color: str = "managed",
    digests: bool = False,
    notices: Notices | None = None,
) -> Iterator[Batch]:
    """Batches of up to `batch_size` inputs, in order. Bad images are `Skipped`, and remembered ones are not read.

    `least` and `color` are as in `decode`. With `digests` the items of the images that were read have the hash of their
    bytes. What is odd about images is counted in `notices`. At most two batches are decoded ahead. The threads'
    stopwatch measures the time to `read` and to `decode`; the threads are closed at the end.
    """
    read = reading(look_with([resize], least=least, color=color, digests=digests), watch=threads.watch)
    for (batch,) in batches_for_each(1, items, read=read, batch_size=batch_size, threads=threads, notices=notices):
        yield batch


def batches_for_each(
    ways: int,
    items: Iterable[ImageItem | Remembered],
    *,
    read: Read,
    batch_size: int,
    threads: DecodeThreads,
    notices: Notices | None = None,
) -> Iterator[tuple[Batch, ...]]:
    """As `batches`, but with a batch for each of the ways in which `read` prepares an image, which it decodes once."""
    prepare_pillow()
    entries: list[Entry | Remembered] = []
    pixels: list[list[Pixels]] = []
    ahead = _look_ahead(items, read, most=2 * batch_size, threads=threads, notices=notices or Notices())
    for item, decoded in ahead:
        if isinstance(decoded, Skipped):
            entries.append(decoded)
        else:
            resized_images, digest = decoded or ([], None)
            entries.append(item if digest is None else _with_digest(item, digest))
            pixels += [resized_images] if resized_images else []
        if len(entries) == batch_size:
            yield tuple(to_batch(entries, [image[n] for image in pixels]) for n in range(ways))
            entries, pixels = [], []
    if entries:
        yield tuple(to_batch(entries, [image[n] for image in pixels]) for n in range(ways))


def _look_ahead(
    items: Iterable[ImageItem | Remembered],
    read: Read,
    *,
    most: int,
    threads: DecodeThreads,
    notices: Notices,
) -> Iterator[tuple[ImageItem | Remembered, Found | Skipped | None]]:
    """Each item with what `read` finds of it, computed in threads up to `most` items ahead.

    The result is `None` for a remembered item that `is_whole`; it is not read.
    """
    pending: deque[Callable[[], tuple[ImageItem | Remembered, Found | Skipped | None]]] = deque()
    try:
        for item in items:
            if isinstance(item, Remembered) and item.is_whole:
                pending.append(partial(_not_read, item))
            else:
                image = item.item if isinstance(item, Remembered) else item
                found = threads.submit(partial(read, image, notices.about(image.id)))
                pending.append(partial(_awaited, item, found, threads))
            if len(pending) > most:
                yield pending.popleft()()
        while pending:
            yield pending.popleft()()
    finally:
        threads.close()


def _not_read(remembered: Remembered) -> tuple[Remembered, None]:
    return remembered, None


def _awaited(
    item: ImageItem | Remembered, future: Future[Result], threads: DecodeThreads
) -> tuple[ImageItem | Remembered, Result]:
    result = future.result()
    threads.one_done()
    return item, result


def _with_digest(item: ImageItem | Remembered, digest: bytes) -> ImageItem | Remembered:
    if isinstance(item, Remembered):
        return replace(item, item=replace(item.item, digest=digest))
    return replace(item, digest=digest)


def to_batch(entries: Sequence[Entry | Remembered], pixels: Sequence[Pixels]) -> Batch:
    """A batch of entries. `pixels` are uint8 `[H, W, 3]`, of the entries that are neither skipped nor `is_whole`."""
    return Batch(tuple(entries), np.stack(pixels) if pixels else np.empty((0, 0, 0, 3), np.uint8))
