"""The order of the data: which pairs are in the batch of a step, as a pure function of the seed and the step.

It is the same for any number of processes, and a run that is resumed at a step needs nothing but the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import UsageError

# Random numbers for different purposes are independent of each other: each seed holds one of these.
_SHUFFLE, _BATCH, _DRAW, _CUTMIX = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs that are shuffled and drawn together: `size` of all pairs, from the index `start` on.

    `places` of each batch are filled from them.
    """

    start: int
    size: int
    places: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One place of a batch: the index of its pair among all pairs, and the epoch of that pair's part, from 0."""

    pair: int
    epoch: int


def parts_of(sizes: Sequence[int], shares: Sequence[float | None], *, batch_size: int) -> tuple[Part, ...]:
    """Split the pairs and the batch into parts: one for each DATA with a share, and one for all DATA without.

    `sizes` and `shares` are those of each DATA, in the order of the pairs; DATA without a share must come first.
    Raises `UsageError` where the shares leave nothing for those without, or are too small for the batch.
    """
    size_without_share = sum(size for size, share in zip(sizes, shares, strict=True) if share is None)
    with_share = [(size, share) for size, share in zip(sizes, shares, strict=True) if share is not None]
    total = sum(share for _, share in with_share)
    if size_without_share and with_share and total >= 1:
        raise UsageError(f"the shares of DATA add up to {total:g}, which leaves nothing for the rest; give less than 1")
    rest = [(size_without_share, 1 - total if with_share else 1.0)] if size_without_share else []
    parts = rest + with_share
    places = _places([share for _, share in parts], batch_size=batch_size)
    if not all(places):
        raise UsageError(
            f"a share of DATA, or what the shares leave to the rest, is less than one pair in a batch of {batch_size}; "
            "give other shares"
        )
    starts = np.cumsum([0, *(size for size, _ in parts)])
    return tuple(Part(int(start), size, count) for start, (size, _), count in zip(starts, parts, places, strict=False))


def _places(shares: Sequence[float], *, batch_size: int) -> list[int]:
    """The places of a batch for each share, rounded so that they add up: the largest remainders are rounded up."""
    whole = sum(shares)
    exact = [batch_size * share / whole for share in shares]
    places = [int(share) for share in exact]
    for n in sorted(range(len(exact)), key=lambda n: places[n] - exact[n])[: batch_size - sum(places)]:
        places[n] += 1
    return places


@dataclass(frozen=True, slots=True)
class Order:
    """The endless stream of batches: each part is gone through again and again, in a new order every epoch."""

    parts: tuple[Part, ...]
    seed: int

    def batch(self, step: int) -> list[Draw]:
        """The pairs of the whole batch of a step, which counts from 0, in the order of their places."""
        draws = [self._draw(part, step * part.places + place) for part in self.parts for place in range(part.places)]
        if len(self.parts) == 1:
            return draws
        shuffled = np.random.default_rng([self.seed, _BATCH, step]).permutation(len(draws))
        return [draws[n] for n in shuffled]

    def rng_for_draw(self, draw: Draw) -> np.random.Generator:
        """The generator for one draw of a pair: for its caption, its crop and its substitutes."""
        return np.random.default_rng([self.seed, _DRAW, draw.epoch, draw.pair])

    def rng_for_batch(self, step: int, rank: int) -> np.random.Generator:
        """The generator for CutMix on one process's part of a batch."""
        return np.random.default_rng([self.seed, _CUTMIX, step, rank])

    def substitute(self, draw: Draw, rng: np.random.Generator) -> int:
        """The index of a pair of the same part, drawn to replace one whose image cannot be read."""
        [part] = [part for part in self.parts if part.start <= draw.pair < part.start + part.size]
        return part.start + int(rng.integers(part.size))

    def _draw(self, part: Part, position: int) -> Draw:
        epoch, place = divmod(position, part.size)
        return Draw(part.start + int(_shuffler(self.seed, part.start, part.size)(epoch)[place]), epoch)


@lru_cache(maxsize=64)
def _shuffler(seed: int, start: int, size: int) -> Callable[[int], NDArray[np.intp]]:
    # A batch needs the order of one epoch of a part, or of two where it reaches from one into the next.
    @lru_cache(maxsize=2)
    def shuffled(epoch: int) -> NDArray[np.intp]:
        return np.random.default_rng([seed, _SHUFFLE, start, epoch]).permutation(size)

    return shuffled
