"""Which photos come first: the doubtful that stand for many others, and every fourth one at random.

The smallest margin first is margin sampling (Scheffer, Decomain and Wrobel 2001). Alone it picks odd photos, and many
of one kind, so that the first ones are chosen to be near many doubtful photos that are far from those before: facility
location among uncertain examples (Wei, Iyer and Bilmes 2015). `benchmarks/review_order.py` compares what they teach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# So many photos are chosen to stand for others, of so many; after them the order is by doubt alone.
_SPREAD, _POOL = 200, 1_000
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
    """The photos with these `leads`, the smallest first, spread over their `embeddings` `[N, D]`.

    One without an embedding has zeros. Where none is known, they are spread over `groups` `[N]`: labels by number.
    """
    order = np.argsort(np.asarray(leads, dtype=np.float64), kind="stable")
    # Of very many photos some stand for all, sure and doubtful ones.
    pool = order[np.linspace(0, len(order) - 1, min(_POOL, len(order)), dtype=np.intp)]
    places = _spread(groups[pool]) if embeddings is None else _standing_for_many(embeddings[pool])
    first = pool[places]
    return [*first.tolist(), *order[~np.isin(order, first)].tolist()]


def with_drawn(doubtful: Sequence[int], drawn: Sequence[int]) -> list[int]:
    """The doubtful photos in their order, with the drawn ones in theirs at every fourth place, while there are any."""
    at_random = set(drawn)
    ordered = [n for n in doubtful if n not in at_random]
    for place, n in enumerate(drawn, 1):
        ordered.insert(place * _EVERY - 1, n)
    return ordered


def _standing_for_many(embeddings: NDArray[np.float32]) -> list[int]:
    """The first places of photos with these embeddings `[N, D]`, the most doubtful of which come first.

    Each is the one that raises most how near the photos are to one that was taken, both weighted by the root of their
    doubt: a share of the photos that are surer.
    """
    count = len(embeddings)
    weight = np.sqrt(1 - np.arange(count, dtype=np.float32) / count)
    near = np.maximum(embeddings @ embeddings.T, 0)
    # One without an embedding stands for itself.
    np.fill_diagonal(near, 1)
    nearest = np.zeros((count, 1), np.float32)
    places: list[int] = []
    for _ in range(min(_SPREAD, count)):
        gain = weight @ np.maximum(near - nearest, 0) * weight
        gain[places] = -1
        places.append(int(gain.argmax()))
        nearest = np.maximum(nearest, near[:, places[-1:]])
    return places


def _spread(groups: NDArray[np.intp]) -> list[int]:
    """The first places of photos of these labels `[N]`, by number, the most doubtful of which come first.

    Each is the one with the largest product of its doubt and the rarity of its label among those before.
    """
    count = len(groups)
    doubt, taken = 1 - np.arange(count) / count, np.zeros(int(groups.max()) + 1)
    places: list[int] = []
    for _ in range(min(_SPREAD, count)):
        gain = doubt / (1 + taken[groups])
        gain[places] = -1
        places.append(int(gain.argmax()))
        taken[groups[places[-1]]] += 1
    return places
