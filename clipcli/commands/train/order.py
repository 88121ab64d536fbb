"""Which pair goes where in which batch: a pure function of seed and step, the same for any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import UsageError

_SHUFFLE, _MIX, _LOOK, _CUT = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs that are drawn from together.

    `start` is the place of the first among all pairs, `places` how many of each batch are for them.
    """

    start: int
    size: int
    places: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One place of a batch: the pair that is there, by its place among all pairs, and which time it is seen."""

    pair: int
    epoch: int


def parts_of(sizes: Sequence[int], shares: Sequence[float | None], *, batch_size: int) -> tuple[Part, ...]:
    """The parts of a mix: every DATA with a share by itself, those without together.

    Raises `UsageError` where the shares leave nothing for those without, or are too small for the batch.
    """
    # DATA without a share come first among all pairs: the caller sorts them so.
    free = sum(size for size, share in zip(sizes, shares, strict=True) if share is None)
    given = [(size, share) for size, share in zip(sizes, shares, strict=True) if share is not None]
    total = sum(share for _, share in given)
    if free and given and total >= 1:
        raise UsageError(f"the shares of DATA add up to {total:g}, which leaves nothing for the rest; give less than 1")
    wanted = ([(free, 1 - total if given else 1.0)] if free else []) + given
    whole = sum(share for _, share in wanted)
    exact = [batch_size * share / whole for _, share in wanted]
    places = [int(share) for share in exact]
    # The largest remainders get the places that rounding down left over.
    for n in sorted(range(len(exact)), key=lambda n: places[n] - exact[n])[: batch_size - sum(places)]:
        places[n] += 1
    if not all(places):
        raise UsageError(
            f"a share of DATA, or what the shares leave to the rest, is less than one pair in a batch of {batch_size}; "
            "give other shares"
        )
    starts = np.cumsum([0, *(size for size, _ in wanted)])
    return tuple(Part(int(start), size, count) for start, (size, _), count in zip(starts, wanted, places, strict=False))


@dataclass(frozen=True, slots=True)
class Order:
    """The endless stream of batches: each part is gone through again and again, in a new order every time."""

    parts: tuple[Part, ...]
    seed: int

    def batch(self, step: int) -> list[Draw]:
        """The places of the batch of this step, which counts from 0, in order."""
        draws = [self._draw(part, step * part.places + place) for part in self.parts for place in range(part.places)]
        if len(self.parts) == 1:
            return draws
        mixed = np.random.default_rng([self.seed, _MIX, step]).permutation(len(draws))
        return [draws[n] for n in mixed]

    def chance(self, draw: Draw) -> np.random.Generator:
        """The random numbers for one look at a pair: its caption, its crop."""
        return np.random.default_rng([self.seed, _LOOK, draw.epoch, draw.pair])

    def chance_of(self, step: int, rank: int) -> np.random.Generator:
        """The random numbers for what is done to a process's part of a whole batch."""
        return np.random.default_rng([self.seed, _CUT, step, rank])

    def another(self, draw: Draw, chance: np.random.Generator) -> int:
        """A pair of the same part to take the place of one that cannot be read."""
        [part] = [part for part in self.parts if part.start <= draw.pair < part.start + part.size]
        return part.start + int(chance.integers(part.size))

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
