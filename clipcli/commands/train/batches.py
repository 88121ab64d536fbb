"""Batches of pairs, decoded and tokenized ahead in threads, each a pure function of the seed and the step."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipcli.backbones.backbone import Preprocessing, Tokenizer
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.augment import mirrored, random_view
from clipcli.commands.train.cutmix import cutmix
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.loss import Groups, Mix
from clipcli.commands.train.model import Trainee
from clipcli.commands.train.order import Draw, Order
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.trivial import trivial_augment
from clipcli.data.pairs import Pair
from clipcli.errors import ClipcliError
from clipcli.images.decode import attempt, decode, register_plugins
from clipcli.images.resize import resizer
from clipcli.records import Skipped

View = Callable[[bytes, np.random.Generator], Image.Image]
_AHEAD = 3
_SUBSTITUTES = 20
# Of 77 tokens each, 120 MB.
_CAPTIONS_KEPT = 1 << 16


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """One process's pairs of a step: uint8 pixels `[b, H, W, 3]`, token ids `[b, L]`, and what belongs together.

    `mix` says which images show a part of another, `None` that none does.
    `skipped` holds the bad images whose places other pairs took, `cut` how many captions were longer than the context.
    """

    pixels: Tensor
    tokens: Tensor
    groups: Groups
    mix: Mix | None
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    cut: int

    def to(self, device: str) -> TrainBatch:
        """The batch on a device; the copy from pinned memory goes on while the host does."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        mix = None if self.mix is None else Mix(self.mix.groups.each(move), move(self.mix.shares))
        pixels, tokens = move(self.pixels), move(self.tokens)
        return replace(self, pixels=pixels, tokens=tokens, groups=self.groups.each(move), mix=mix)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One pair as it goes into its place of the batch."""

    pair: int
    caption: str
    label: str | None
    name: str
    cut: bool
    skipped: tuple[Skipped, ...]


class Batches:
    """The batches of one process. Threads decode `_AHEAD` batches ahead, straight into the batch's own memory.

    `sizes` are how many of the pairs each DATA has.
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
    ) -> None:
        register_plugins()
        self._pairs, self._order, self._view, self._size = pairs, order, view, size
        self._ends = torch.tensor(sizes).cumsum(0)
        self._tokenizer, self._processes, self._pin = tokenizer, processes, pin
        empty = tokenizer([""])[0]
        self._context, self._padding = len(empty), int(empty[-1])
        self._workers, self._lock, self._cutmix = workers, Lock(), cutmix
        # A caption comes again with every epoch, and those of a class sooner; tokenizers take as long as decoders.
        self._tokenized = lru_cache(_CAPTIONS_KEPT)(self._tokenize)

    def start(self, step: int, *, end: int) -> Generator[TrainBatch, None, None]:
        """The batches of the steps from `step` up to `end`."""
        pending: deque[Callable[[], TrainBatch]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
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
        """Begin with the batch of a step; what is returned waits for it."""
        draws = self._order.batch(step)
        own = len(draws) // self._processes.count
        first = self._processes.rank * own
        pixels = torch.empty((own, *self._size, 3), dtype=torch.uint8, pin_memory=self._pin)
        tokens = torch.empty((own, self._context), dtype=torch.int64, pin_memory=self._pin)
        futures = [
            pool.submit(self._fill, draw, pixels[place], tokens[place])
            for place, draw in enumerate(draws[first : first + own])
        ]
        return lambda: self._mixed(self._finished(pixels, tokens, futures, first), step)

    def _finished(self, pixels: Tensor, tokens: Tensor, futures: Sequence[Future[_Seen]], first: int) -> TrainBatch:
        seen = [future.result() for future in futures]
        slots = range(first, first + len(seen))
        pairs = torch.tensor([s.pair for s in seen])
        return TrainBatch(
            pixels=pixels,
            tokens=tokens,
            groups=Groups(
                slots=torch.tensor(slots),
                pairs=pairs,
                captions=torch.tensor([_id(s.caption) for s in seen]),
                # A pair without a class has a negative id, all of its own.
                classes=torch.tensor(
                    [-1 - n if s.label is None else _id(s.label) for n, s in zip(slots, seen, strict=True)]
                ),
                data=torch.bucketize(pairs, self._ends, right=True),
            ),
            mix=None,
            names=tuple(s.name for s in seen),
            skipped=tuple(skipped for s in seen for skipped in s.skipped),
            cut=sum(s.cut for s in seen),
        )

    def _mixed(self, batch: TrainBatch, step: int) -> TrainBatch:
        if not self._cutmix:
            return batch
        chance = self._order.chance_of(step, self._processes.rank)
        return replace(batch, mix=cutmix(batch.pixels, batch.groups, probability=self._cutmix, chance=chance))

    def _fill(self, draw: Draw, pixels: Tensor, tokens: Tensor) -> _Seen:
        """Put a pair into its place, or where its image is bad another one, drawn in its stead."""
        chance = self._order.chance(draw)
        skipped: list[Skipped] = []
        number = draw.pair
        for _ in range(_SUBSTITUTES):
            pair = self._pairs[number]
            caption = pair.captions[int(chance.integers(len(pair.captions)))]
            image = attempt(pair.item, lambda data: np.array(self._view(data, chance)))
            if not isinstance(image, Skipped):
                pixels.copy_(torch.from_numpy(image))
                ids, cut = self._tokenized(caption)
                tokens.copy_(ids)
                return _Seen(number, caption, pair.label, pair.item.id, cut, tuple(skipped))
            skipped.append(image)
            number = self._order.another(draw, chance)
        last = skipped[-1]
        raise ClipcliError(
            f"{_SUBSTITUTES} images in a row could not be read, the last {last.item.id}: {last.reason}; check the data"
        )

    def _tokenize(self, caption: str) -> tuple[Tensor, bool]:
        """A caption's token ids `[L]`, and whether it was longer than the context."""
        # Tokenizers of transformers keep the length they cut to, which threads would change under each other.
        with self._lock:
            tokens = self._tokenizer([caption])[0]
            # One token of padding may be the end of a text, as for T5's tokenizers.
            if (tokens[-2:] == self._padding).all():
                return tokens, False
            return tokens, self._words(self._tokenizer([caption], self._context + 1)[0]) > self._words(tokens)

    def _words(self, tokens: Tensor) -> int:
        return int((tokens != self._padding).sum())


def batches_for(
    trainee: Trainee, data: TrainingData, *, order: Order, runtime: Runtime, processes: Processes
) -> Batches:
    """The batches of a run, with crops, mirror images and mixes as its configuration says."""
    config, backbone = trainee.config, trainee.backbone
    crop = config.crop or 1.0
    return Batches(
        data.pairs,
        sizes=data.sizes,
        order=order,
        view=train_view(backbone.preprocessing, crop=crop, flip=bool(config.flip), augment=config.augment),
        size=backbone.preprocessing.size,
        tokenizer=backbone.tokenizer,
        processes=processes,
        workers=runtime.workers,
        pin=runtime.device == "cuda",
        cutmix=config.cutmix,
    )


def train_view(preprocessing: Preprocessing, *, crop: float, flip: bool, augment: str = "none") -> View:
    """Images as training sees them: random crops, or whole ones where `crop` is 1, and half of them mirrored.

    With `augment` `trivial` each is changed in one more way.
    """
    resize = resizer(preprocessing)

    def view(data: bytes, chance: np.random.Generator) -> Image.Image:
        if crop < 1:
            image = random_view(data, preprocessing=preprocessing, crop=crop, flip=flip, chance=chance)
        else:
            image = mirrored(resize(decode(data)), flip=flip, chance=chance)
        return trivial_augment(image, chance=chance) if augment == "trivial" else image

    return view


def _id(text: str) -> int:
    """A number from 0 that stands for a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1
