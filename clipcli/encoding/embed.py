"""Image embeddings from batches of pixels, as many at once as the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipcli.backbones.backbone import Backbone
from clipcli.errors import ClipcliError
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.images import with_remembered
from clipcli.records import Batch, Embedded, ImageItem

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
Sent = TypeVar("Sent")


def embed(batches: Iterable[Batch], *, backbone: Backbone, watch: Stopwatch | None = None) -> Iterator[Embedded]:
    """The same entries with image embeddings `[N, D]` in place of pixels; remembered ones are put in their places.

    To a card the pixels of the next batch are copied while this one is encoded; the watch takes the time that it takes
    to start a `copy`. Raises as `Embedder`.
    """
    embedder = Embedder(backbone)
    if backbone.runtime.device != "cuda":
        yield from map(embedder, batches)
        return
    copies, watch = _Copies(), watch or Stopwatch()

    def start(batch: Batch) -> tuple[Tensor, torch.cuda.Event]:
        with watch.on("copy"):
            return copies.start(batch)

    for batch, send in one_ahead(batches, start):
        yield embedder(batch, pixels=copies.finished(send))


class Embedder:
    """Image embeddings by one model: where they do not fit into memory, of half as many images at once from then on."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._most: int | None = None

    def __call__(self, batch: Batch, *, pixels: Tensor | None = None) -> Embedded:
        """The batch's entries with embeddings `[N, D]`; `pixels` are its own where they are on the device already.

        Raises `ClipcliError` where the model gives something that is not a number, and where not even one image fits.
        """
        if not len(batch.pixels):
            return _embedded(batch, np.empty((0, self._backbone.dimensions), np.float32))
        told = self._most is not None
        embeddings = self._encode(torch.from_numpy(batch.pixels) if pixels is None else pixels)
        _check(embeddings, batch, self._backbone)
        if told or self._most is None:
            return _embedded(batch, embeddings)
        note = f"the memory does not hold {len(batch.pixels)} images at once, but {self._most}"
        return _embedded(batch, embeddings, f"{note}; going on so, as --batch-size {self._most} would")

    def _encode(self, pixels: Tensor) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        first = 0
        while first < len(pixels):
            part = pixels[first : first + (self._most or len(pixels))]
            encoded = self._attempt(part)
            if encoded is None:
                self._most = len(part) // 2
                continue
            parts.append(encoded)
            first += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _attempt(self, pixels: Tensor) -> NDArray[np.float32] | None:
        """Embeddings of these images, or `None` where they are too many."""
        try:
            embeddings: NDArray[np.float32] = self._backbone.encode_images(pixels).cpu().numpy()
            return embeddings
        except (RuntimeError, MemoryError) as e:
            if not _is_out_of_memory(e):
                raise
            if len(pixels) == 1:
                raise ClipcliError(
                    f"the memory does not hold {self._backbone.name} and one image; "
                    "close other programs, or take a smaller model"
                ) from e
        if pixels.is_cuda:
            torch.cuda.empty_cache()
        return None


def one_ahead(batches: Iterable[Batch], send: Callable[[Batch], Sent]) -> Iterator[tuple[Batch, Sent]]:
    """Each batch with what `send` gave for it, which was called for the next one before."""
    waiting: tuple[Batch, Sent] | None = None
    for batch in batches:
        sent = send(batch)
        if waiting is not None:
            yield waiting
        waiting = batch, sent
    if waiting is not None:
        yield waiting


class _Copies:
    """Copies of pixels to the card, from pinned memory, beside what the card computes. Not yet run on one."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def start(self, batch: Batch) -> tuple[Tensor, torch.cuda.Event]:
        """The pixels on the card, and what happens when they are there."""
        with torch.cuda.stream(self._stream):
            pixels = torch.from_numpy(batch.pixels).pin_memory().to("cuda", non_blocking=True)
            return pixels, self._stream.record_event()

    def finished(self, started: tuple[Tensor, torch.cuda.Event]) -> Tensor:
        """The pixels, for work that is queued from now on."""
        pixels, there = started
        current = torch.cuda.current_stream()
        current.wait_event(there)
        pixels.record_stream(current)
        return pixels


def _embedded(batch: Batch, embeddings: NDArray[np.float32], *notes: str) -> Embedded:
    return replace(with_remembered(batch.entries, embeddings), notes=(*batch.notes, *notes))


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _check(embeddings: NDArray[np.float32], batch: Batch, backbone: Backbone) -> None:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        images = [entry for entry in batch.entries if isinstance(entry, ImageItem)]
        first = images[int(np.argmin(finite))].id
        precision = backbone.runtime.precision
        advice = "check the weights" if precision == "fp32" else "try --precision fp32"
        raise ClipcliError(f"{backbone.name} in {precision} gives no numbers for {first}; {advice}")
