"""Reads, decodes and resizes images in threads, a bounded number ahead, as batches of pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clipcli.data.reference import digest_of
from clipcli.images.decode import Result, attempt, decoding, prepare_pillow
from clipcli.images.resize import Least, Resize
from clipcli.images.threads import DecodeThreads
from clipcli.notices import Note, Notices
from clipcli.records import Batch, Content, Entry, ImageItem, Remembered, Skipped

Pixels = NDArray[np.uint8]


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
    for (batch,) in batches_for_each(
        (resize,),
        items,
        batch_size=batch_size,
        threads=threads,
        least=least,
        color=color,
        digests=digests,
        notices=notices,
    ):
        yield batch


def batches_for_each(
    resizes: Sequence[Resize],
    items: Iterable[ImageItem | Remembered],
    *,
    batch_size: int,
    threads: DecodeThreads,
    least: Least | None = None,
    color: str = "managed",
    digests: bool = False,
    notices: Notices | None = None,
) -> Iterator[tuple[Batch, ...]]:
    """As `batches`, but with one batch for each of `resizes`: each image is read and decoded only once."""
    prepare_pillow()
    entries: list[Entry | Remembered] = []
    pixels: list[list[Pixels]] = []

    def resized(note: Note, data: Content) -> tuple[list[Pixels], bytes | None]:
        with decoding(data, least=least, color=color, note=note) as image:
            pixels = [np.array(resize(image)) for resize in resizes]
        return pixels, digest_of(data) if digests and isinstance(data, bytes) else None

    ahead = _look_ahead(items, resized, most=2 * batch_size, threads=threads, notices=notices or Notices())
    for item, decoded in ahead:
        if isinstance(decoded, Skipped):
            entries.append(decoded)
        else:
            resized_images, digest = decoded or ([], None)
            entries.append(item if digest is None else _with_digest(item, digest))
            pixels += [resized_images] if resized_images else []
        if len(entries) == batch_size:
            yield tuple(to_batch(entries, [image[n] for image in pixels]) for n in range(len(resizes)))
            entries, pixels = [], []
    if entries:
        yield tuple(to_batch(entries, [image[n] for image in pixels]) for n in range(len(resizes)))


def _look_ahead(
    items: Iterable[ImageItem | Remembered],
    use: Callable[[Note, Content], Result],
    *,
    most: int,
    threads: DecodeThreads,
    notices: Notices,
) -> Iterator[tuple[ImageItem | Remembered, Result | Skipped | None]]:
    """Each item with the result of `use` on its content, computed in threads up to `most` items ahead.

    The result is `None` for a remembered item that `is_whole`; it is not read.
    """
    pending: deque[Callable[[], tuple[ImageItem | Remembered, Result | Skipped | None]]] = deque()
    try:
        for item in items:
            if isinstance(item, Remembered) and item.is_whole:
                pending.append(partial(_not_read, item))
            else:
                image = item.item if isinstance(item, Remembered) else item
                noted = partial(use, notices.about(image.id))
                read = threads.submit(partial(attempt, image, noted, watch=threads.watch))
                pending.append(partial(_awaited, item, read, threads))
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
