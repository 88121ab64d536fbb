"""Which photos come first: the doubtful, spread over labels and embeddings, and every fourth one at random.

The smallest margin first is margin sampling (Scheffer, Decomain and Wrobel 2001). Alone it picks many photos of one
kind, so that of a pool of doubtful ones those are taken that are far from all before, as in core-set selection (Sener
and Savarese 2018) within the pool of Cluster-Margin (Citovsky et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# So many photos are spread over a pool of so many doubtful ones, and after so many the order is by doubt alone.
_ROUND, _POOL, _SPREAD = 50, 500, 1_000
# Every fourth photo is one at random.
_EVERY = 4
_SEED = 0


def draw(count: int, *, most: int) -> list[int]:
    """Photos at random, in random order: at most every fourth of `count`. The same in every run."""
    drawn = np.random.default_rng(_SEED).permutation(count)[: min(most, count // _EVERY)]
    return [int(n) for n in drawn]


def doubtful_first(
    leads: Sequence[float], groups: NDArray[np.intp], embeddings: NDArray[np.float32] | None
) -> list[int]:
    """The photos with these `leads`, the smallest first, spread over `groups` `[N]`, their labels by number.

    They are spread over `embeddings` `[N, D]` as well, where these are known: one of zeros is far from all.
    """
    remaining = np.argsort(np.asarray(leads, dtype=np.float64), kind="stable")
    ordered: list[int] = []
    while len(remaining) and len(ordered) < _SPREAD:
        pool = remaining[:_POOL]
        places = _spread(groups[pool], None if embeddings is None else embeddings[pool])
        ordered += pool[places].tolist()
        remaining = np.delete(remaining, places)
    return [*ordered, *remaining.tolist()]


def with_drawn(doubtful: Sequence[int], drawn: Sequence[int]) -> list[int]:
    """The doubtful photos in their order, with the drawn ones in theirs at every fourth place, while there are any."""
    at_random = set(drawn)
    ordered = [n for n in doubtful if n not in at_random]
    for place, n in enumerate(drawn, 1):
        ordered.insert(place * _EVERY - 1, n)
    return ordered


def _spread(groups: NDArray[np.intp], embeddings: NDArray[np.float32] | None) -> list[int]:
    """The places of a round of photos in a pool, the most doubtful of which come first.

    Each is the one with the largest product of its doubt, its distance to those before, and the rarity of its label
    among them.
    """
    count = len(groups)
    doubt = 1 - np.arange(count) / count
    distance, taken = np.ones(count), np.zeros(int(groups.max()) + 1)
    places: list[int] = []
    for _ in range(min(_ROUND, count)):
        gain = doubt * distance / (1 + taken[groups])
        gain[places] = -1
        best = int(gain.argmax())
        places.append(best)
        taken[groups[best]] += 1
        if embeddings is not None:
            distance = np.minimum(distance, 1 - embeddings @ embeddings[best])
    return places
