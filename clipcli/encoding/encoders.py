"""Encodes batches with several models, each only the images that it does not remember."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.encoders import ImageEncoder
from clipcli.encoding.embedder import Embedder
from clipcli.encoding.engines.prepared import PreparedImages
from clipcli.events import Warned
from clipcli.images.stopwatch import Stopwatch
from clipcli.records import Batch, ImageItem, Remembered, Skipped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Array = NDArray[np.float32]
# One batch for each model: the same images, preprocessed for that model.
Batches = tuple[Batch, ...]


class Encoders:
    """Encodes batches with several models; the watch counts the time to start copies to a card as `copy`.

    In float32 the last digits of an embedding depend on the number of images that are encoded at once, though not on
    what they are. So blank images stand in for those that cannot be read, which change nothing in the others; and
    with `fill`, batches are filled up to so many images, as a shard must have those of the whole run.
    """

    def __init__(self, backbones: Sequence[ImageEncoder], *, watch: Stopwatch, fill: int | None = None) -> None:
        self._backbones, self._watch, self._fill = backbones, watch, fill
        self._embedders = [Embedder(backbone) for backbone in backbones]

    def each(self, coming: Iterable[Batches]) -> Iterator[tuple[Batches, list[Array]]]:
        """Yield the batches, each with the embeddings `[N, D]` that every model encoded, in the order of its images.

        With one model on a card, the next batch is copied to the card while this one is encoded. Raises `ClipcliError`
        as `Embedder` does.
        """
        if len(self._backbones) > 1 or self._backbones[0].runtime.kind != "cuda":
            for batches in coming:
                yield batches, [self._encode(model, batch) for model, batch in enumerate(batches)]
            return
        from clipcli.encoding.copies import Copies, one_ahead

        copies = Copies()

        def start(batches: Batches) -> tuple[Tensor, torch.cuda.Event]:
            with self._watch.on("copy"):
                return copies.start(self._filled(batches[0].pixels, batches[0]))

        for batches, started in one_ahead(coming, start):
            ids = [image.id for image in _encoded_by(0, batches[0])]
            yield batches, [self._embedders[0](copies.finished(started), ids=ids)]

    def warnings(self) -> Iterator[Warned]:
        """Warnings since the last call, as of memory that was too small."""
        for embedder in self._embedders:
            yield from embedder.warnings()

    def _filled(self, pixels: NDArray[np.uint8], batch: Batch) -> NDArray[np.uint8]:
        """The pixels `[N, H, W, 3]` with blank images behind them, as many as the batch lacks; none if it has none."""
        fresh = not any(isinstance(entry, Remembered) for entry in batch.entries)
        skipped = sum(isinstance(entry, Skipped) for entry in batch.entries) if fresh else 0
        missing = skipped if self._fill is None else self._fill - len(pixels)
        if not len(pixels) or missing <= 0:
            return pixels
        return np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])

    def _encode(self, model: int, batch: Batch) -> Array:
        images = list(_encoded_by(model, batch))
        with_pixels = [entry for entry in batch.entries if not _is_without_pixels(entry)]
        wanted = [not isinstance(one, Remembered) or one.embeddings[model] is None for one in with_pixels]
        chosen = batch.pixels if all(wanted) else batch.pixels[np.array(wanted, dtype=np.bool_)]
        pixels = _as_input(self._filled(chosen, batch), self._backbones[model])
        # The batch may be larger than this model's batch size, if another model's is larger.
        size, ids = self._backbones[model].runtime.batch_size, [image.id for image in images]
        if len(pixels) <= size:
            return self._embedders[model](pixels, ids=ids)
        starts = range(0, len(ids), size)
        parts = [self._embedders[model](pixels[n : n + size], ids=ids[n : n + size]) for n in starts]
        return np.concatenate(parts)


def _as_input(pixels: NDArray[np.uint8], backbone: ImageEncoder) -> Any:
    """The pixels as the model takes them: a tensor, or as they are if it was prepared."""
    if isinstance(backbone, PreparedImages):
        return pixels
    import torch

    return torch.from_numpy(pixels)


def _encoded_by(model: int, batch: Batch) -> Iterator[ImageItem]:
    """The images of a batch that a model, given by its index, must encode."""
    for entry in batch.entries:
        if isinstance(entry, ImageItem):
            yield entry
        elif isinstance(entry, Remembered) and not entry.is_whole and entry.embeddings[model] is None:
            yield entry.item


def _is_without_pixels(entry: object) -> bool:
    return isinstance(entry, Skipped) or (isinstance(entry, Remembered) and entry.is_whole)
