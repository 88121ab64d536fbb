"""Photos that look alike, to be confirmed together, and the labels that are likely for a photo, by its embedding."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

# Of pairs of photos at random this share is less alike than photos of a group.
_SHARE, _PAIRS = 0.99, 10_000
_SEED = 0
# A group has so many photos, and groups are looked for around so many of the first photos.
_LEAST, _MOST, _LEADERS = 3, 24, 500
_AT_ONCE = 4_096


def groups_alike(
    order: Sequence[int], labels: NDArray[np.intp], embeddings: NDArray[np.float32], *, apart: Collection[int]
) -> list[list[int]]:
    """Groups of photos that have one label `[N]` and embeddings `[N, D]` near that of the first, in the given order.

    A photo is in one group at most, those `apart` and those without an embedding, zeros, are in none.
    """
    known = _known(embeddings)
    near, free = _nearness(embeddings[known]), known.copy()
    free[list(apart)] = False
    groups: list[list[int]] = []
    for leader in order[:_LEADERS]:
        if not free[leader]:
            continue
        mates = np.flatnonzero(free & (labels == labels[leader]))
        alike = embeddings[mates] @ embeddings[leader]
        found = mates[np.argsort(-alike, kind="stable")[:_MOST]]
        found = found[embeddings[found] @ embeddings[leader] >= near]
        if len(found) >= _LEAST:
            free[found] = False
            groups.append([leader, *(int(n) for n in found if n != leader)])
    return groups


def likely_labels(labels: NDArray[np.intp], embeddings: NDArray[np.float32] | None, *, count: int) -> NDArray[np.intp]:
    """For each photo the labels `[N, count]` that others like it have, the likeliest first.

    They are those whose photos have the nearest mean embedding (Rocchio 1971; nearest class mean), or the most frequent
    where there are no `embeddings` `[N, D]`. `labels` `[N]` are those of the photos, by number.
    """
    frequent = np.argsort(-np.bincount(labels), kind="stable")[:count]
    if embeddings is None:
        return np.tile(frequent, (len(labels), 1))
    sums = np.zeros((int(labels.max()) + 1, embeddings.shape[1]), np.float32)
    np.add.at(sums, labels, embeddings)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
    parts = (embeddings[n : n + _AT_ONCE] @ means.T for n in range(0, len(embeddings), _AT_ONCE))
    likely = np.concatenate([np.argsort(-part, axis=1, kind="stable")[:, :count] for part in parts])
    likely[~_known(embeddings)] = frequent[: likely.shape[1]]
    return likely


def _known(embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which photos have an embedding, `[N]`."""
    known: NDArray[np.bool_] = np.any(embeddings != 0, axis=1)
    return known


def _nearness(embeddings: NDArray[np.float32]) -> float:
    """The cosine from which on two photos look alike: few pairs at random reach it."""
    pairs = np.random.default_rng(_SEED).integers(len(embeddings), size=(_PAIRS, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if not len(pairs):
        return 1.0
    cosines = np.einsum("ij,ij->i", embeddings[pairs[:, 0]], embeddings[pairs[:, 1]])
    return float(np.quantile(cosines, _SHARE))
