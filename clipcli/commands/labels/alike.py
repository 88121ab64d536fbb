"""Labels that nearly coincide: the images of one get the other by chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.labels.findings import Finding, images
from clipcli.commands.labels.winners import Winners

# Of the words of a general vocabulary this share is farther from its nearest neighbour than two labels that nearly
# coincide are from each other.
_FARTHER = 0.95
_MOST = 10


def alike(
    labels: Sequence[str],
    class_embeddings: NDArray[np.float32],
    vocabulary: NDArray[np.float32],
    winners: Winners | None,
) -> Iterator[Finding]:
    """The pairs of labels whose class embeddings `[C, D]` are nearer than different words are, the nearest first.

    What is near differs by model, so it is measured: by the nearest neighbours of the words of a `vocabulary` `[V, D]`.
    """
    near = _nearest(vocabulary)
    if not len(near) or len(labels) < 2:
        return
    limit = float(np.quantile(near, _FARTHER))
    cosine = class_embeddings @ class_embeddings.T
    firsts, seconds = np.triu_indices(len(labels), 1)
    values = cosine[firsts, seconds]
    order = [n for n in np.argsort(-values, kind="stable")[:_MOST] if values[n] > limit]
    for n in order:
        first, second = int(firsts[n]), int(seconds[n])
        # The label of fewer images is the one to give up; without images, the later one.
        if winners is not None and winners.counts[first] < winners.counts[second]:
            first, second = second, first
        yield Finding(
            "alike",
            (labels[first], labels[second]),
            f"'{labels[first]}' and '{labels[second]}' are nearer (cosine {values[n]:.2f}) than "
            f"{_FARTHER:.0%} of common words are to their nearest ({limit:.2f})",
            f"make '{labels[second]}' an alias of '{labels[first]}', or say with a description how they differ",
            None if winners is None else _effect(labels, winners, first, second),
        )


def _nearest(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine `[V]` of each to its nearest neighbour."""
    cosine = embeddings @ embeddings.T
    np.fill_diagonal(cosine, -1)
    nearest: NDArray[np.float32] = cosine.max(axis=1) if len(cosine) > 1 else np.empty(0, np.float32)
    return nearest


def _effect(labels: Sequence[str], winners: Winners, first: int, second: int) -> str:
    gone = winners.counts[second]
    if not gone:
        return f"'{labels[second]}' has no image now, so that no count changes"
    to_first = winners.without(second).get(first, 0)
    return f"{images(to_first)} of the {gone:,} of '{labels[second]}' have '{labels[first]}' next"
