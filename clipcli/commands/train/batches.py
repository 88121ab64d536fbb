"""Batches of pairs to train on, decoded and tokenized ahead in threads; each is a pure function of seed and step."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipcli.backbones.backbone import Tokenizer
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.augment import View, train_view
from clipcli.commands.train.cutmix import cutmix
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.loss import CutMix, Groups
from clipcli.commands.train.model import Trainee
from clipcli.commands.train.order import Draw, Order
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.stored import StoredImages
from clipcli.data.pairs import Pair
from clipcli.errors import ClipcliError
from clipcli.images.decode import DEFAULT_LIMITS, attempt, prepare_pillow
from clipcli.images.isolate import Attempt, attempting
from clipcli.images.limits import Limits, limits_of
from clipcli.notices import Note, Notice, Notices
from clipcli.records import Content, ImageItem, Skipped

_AHEAD = 3
_SUBSTITUTES = 20
# 120 MB, with 77 tokens each.
_CAPTIONS_KEPT = 1 << 16


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """The pairs of a step in one process: uint8 pixels `[b, H, W, 3]`, int64 token ids `[b, L]`, and their groups.

    Of images that are stored, `pixels` are embeddings `[b, D]`, float32, in their place.
    `mix` tells which images show a part of another, and is `None` without CutMix. `names` are the paths of the images.
    `skipped` are the images that could not be read and were replaced, `cut_captions` counts the captions that are
    longer than the context.
    """

    pixels: Tensor
    tokens: Tensor
    groups: Groups
    mix: CutMix | None
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    cut_captions: int

    def to(self, device: str) -> TrainBatch:
        """The batch on a device. From pinned memory it is copied while the host goes on."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        mix = None if self.mix is None else CutMix(self.mix.groups.map(move), move(self.mix.shares))
        pixels, tokens = move(self.pixels), move(self.tokens)
        return replace(self, pixels=pixels, tokens=tokens, groups=self.groups.map(move), mix=mix)


@dataclass(frozen=True, slots=True)
class _LoadedPair:
    """A pair that is in its place of the batch: its index, and the caption that was drawn."""

    index: int
    caption: str
    label: str | None
    name: str
    is_cut: bool
    skipped: tuple[Skipped, ...]


class Batches:
    """The batches of one process. Its `workers` threads decode a few batches ahead, each image into its place.

    `sizes` counts the pairs of each DATA, in their order; `view` makes the image of the `size` (height, width) that
    the model sees; with `pin` batches are in pinned memory; `cutmix` is the share of images to mix. With `stored`
    images are not decoded: their embeddings are taken. `limits` are those of decoding. `notices` counts what is odd
    about images, each image once.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        sizes: Sequence[int],
        order: Order,
        view: View,
        size: tuple[int, int],
        tokenizer: Tokenizer,
        processes: Processes,
        workers: int,
        pin: bool,
        cutmix: float = 0.0,
        stored: StoredImages | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        prepare_pillow()
        self._limits = limits
        self._attempt: Attempt = attempt
        self._stored = stored
        self._pairs, self._order, self._view, self._size = pairs, order, view, size
        self._ends = torch.tensor(sizes).cumsum(0)
        self._tokenizer, self._processes, self._pin = tokenizer, processes, pin
        padded = tokenizer([""])[0]
        self._context, self._padding = len(padded), int(padded[-1])
        self._workers, self._lock, self._cutmix = workers, Lock(), cutmix
        self.notices = Notices()
        self._noted: set[tuple[str, Notice]] = set()
        # Captions come again every epoch, and tokenizing takes as long as decoding.
        self._tokenized = lru_cache(_CAPTIONS_KEPT)(self._tokenize)

    def start(self, step: int, *, end: int) -> Generator[TrainBatch, None, None]:
        """The batches of the steps from `step` up to `end`, without it.

        Raises `ClipcliError` where many images in a row cannot be read.
        """
        pending: deque[Callable[[], TrainBatch]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        with attempting(self._limits, about=self._about) as self._attempt:
            try:
                for ahead in range(step, end):
                    pending.append(self._submit(pool, ahead))
                    if len(pending) > _AHEAD:
                        yield pending.popleft()()
                while pending:
                    yield pending.popleft()()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, step: int) -> Callable[[], TrainBatch]:
        """Start to load the batch of a step; the function returned waits until it is loaded."""
        draws = self._order.batch(step)
        own = len(draws) // self._processes.count
        first = self._processes.rank * own
        shape, kind = ((*self._size, 3), torch.uint8)
        if self._stored is not None:
            shape, kind = self._stored.embeddings.shape[2:], torch.float32
        pixels = torch.empty((own, *shape), dtype=kind, pin_memory=self._pin)
        tokens = torch.empty((own, self._context), dtype=torch.int64, pin_memory=self._pin)
        futures = [
            pool.submit(self._fill, draw, pixels[place], tokens[place])
            for place, draw in enumerate(draws[first : first + own])
        ]
        return lambda: self._with_cutmix(self._collected(pixels, tokens, futures, first), step)

    def _collected(
        self, pixels: Tensor, tokens: Tensor, futures: Sequence[Future[_LoadedPair]], first: int
    ) -> TrainBatch:
        """The batch when all its pairs are loaded; `first` is this process's first place in the whole batch."""
        loaded = [future.result() for future in futures]
        slots = range(first, first + len(loaded))
        pairs = torch.tensor([pair.index for pair in loaded])
        groups = Groups(
            slots=torch.tensor(slots),
            pairs=pairs,
            captions=torch.tensor([_id(pair.caption) for pair in loaded]),
            # A pair without a class has a negative id, which no other has.
            classes=torch.tensor(
                [-1 - n if pair.label is None else _id(pair.label) for n, pair in zip(slots, loaded, strict=True)]
            ),
            data=torch.bucketize(pairs, self._ends, right=True),
        )
        return TrainBatch(
            pixels=pixels,
            tokens=tokens,
            groups=groups.map(self._pinned),
            mix=None,
            names=tuple(pair.name for pair in loaded),
            skipped=tuple(skipped for pair in loaded for skipped in pair.skipped),
            cut_captions=sum(pair.is_cut for pair in loaded),
        )

    def _with_cutmix(self, batch: TrainBatch, step: int) -> TrainBatch:
        if not self._cutmix:
            return batch
        rng = self._order.rng_for_batch(step, self._processes.rank)
        mix = cutmix(batch.pixels, batch.groups, probability=self._cutmix, rng=rng)
        return replace(batch, mix=CutMix(mix.groups.map(self._pinned), self._pinned(mix.shares)))

    def _pinned(self, tensor: Tensor) -> Tensor:
        """The tensor in pinned memory, where a card copies from: it is waited for otherwise."""
        return tensor.pin_memory() if self._pin else tensor

    def _fill(self, draw: Draw, pixels: Tensor, tokens: Tensor) -> _LoadedPair:
        """Write a pair into its place: pixels `[H, W, 3]`, token ids `[L]`. A bad image is replaced by another pair."""
        rng = self._order.rng_for_draw(draw)
        skipped: list[Skipped] = []
        index = draw.pair
        for _ in range(_SUBSTITUTES):
            pair = self._pairs[index]
            caption = pair.captions[int(rng.integers(len(pair.captions)))]
            image = self._image(pair, index=index, rng=rng)
            if not isinstance(image, Skipped):
                pixels.copy_(torch.from_numpy(image))
                ids, is_cut = self._tokenized(caption)
                tokens.copy_(ids)
                return _LoadedPair(index, caption, pair.label, pair.item.id, is_cut, tuple(skipped))
            skipped.append(image)
            index = self._order.substitute(draw, rng)
        last = skipped[-1]
        raise ClipcliError(
            f"{_SUBSTITUTES} images in a row could not be read, the last {last.item.id}: {last.reason}; check the data"
        )

    def _image(self, pair: Pair, *, index: int, rng: np.random.Generator) -> NDArray[Any] | Skipped:
        """The pixels `[H, W, 3]` of a pair, or a stored embedding `[D]`."""
        if self._stored is not None:
            return self._stored.drawn(index, rng)
        return self._attempt(pair.item, partial(self._seen, item=pair.item, rng=rng))

    def _seen(self, data: Content, *, item: ImageItem, rng: np.random.Generator) -> NDArray[np.uint8]:
        """The view of an image, as pixels `[H, W, 3]`."""
        return np.array(self._view(data, rng, self._about(item)))

    def _about(self, item: ImageItem) -> Note:
        """Counts what is odd about an image."""
        about = self.notices.about(item.id)

        def note(notice: Notice, detail: str = "") -> None:
            # An image comes again every epoch.
            if (item.id, notice) not in self._noted:
                self._noted.add((item.id, notice))
                about(notice, detail)

        return note

    def _tokenize(self, caption: str) -> tuple[Tensor, bool]:
        """The token ids `[L]` of a caption, and true where it is longer than the context."""
        # Tokenizers of transformers keep the length to cut at as state, which threads would change for each other.
        with self._lock:
            tokens = self._tokenizer([caption])[0]
            # One padding token alone may also end a text, as with T5's tokenizers.
            if (tokens[-2:] == self._padding).all():
                return tokens, False
            longer = self._tokenizer([caption], self._context + 1)[0]
            return tokens, self._length(longer) > self._length(tokens)

    def _length(self, tokens: Tensor) -> int:
        """The number of tokens that are not padding."""
        return int((tokens != self._padding).sum())


def batches_for(
    trainee: Trainee,
    data: TrainingData,
    *,
    order: Order,
    runtime: Runtime,
    processes: Processes,
    stored: StoredImages | None = None,
) -> Batches:
    """The batches of a run, with crops, flips and CutMix as its configuration says, or of images that are `stored`."""
    config, backbone = trainee.config, trainee.backbone
    crop, limits = config.crop or 1.0, limits_of(trainee.config)
    return Batches(
        data.pairs,
        sizes=data.sizes,
        order=order,
        view=train_view(
            backbone.preprocessing, crop=crop, flip=bool(config.flip), augment=config.augment, limits=limits
        ),
        size=backbone.preprocessing.size,
        tokenizer=backbone.tokenizer,
        processes=processes,
        workers=runtime.workers,
        pin=runtime.kind == "cuda",
        cutmix=config.cutmix,
        stored=stored,
        limits=limits,
    )


def _id(text: str) -> int:
    """A non-negative id of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1
