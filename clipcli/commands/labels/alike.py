"""Labels that nearly coincide: the images of one get the other by chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.labels.findings import Finding, images
from clipcli.commands.labels.winners import Winners
from clipcli.scoring.blocks import blocks
from clipcli.scoring.competitors import nearest_neighbours

# Of the words of a general vocabulary this share is farther from its nearest neighbour than two labels that nearly
# coincide are from each other.
_FARTHER = 0.95


def alike(
    labels: Sequence[str],
    class_embeddings: NDArray[np.float32],
    vocabulary: NDArray[np.float32],
    winners: Winners | None,
) -> Iterator[Finding]:
    """The pairs of labels whose class embeddings `[C, D]` are nearer than different words are, the nearest first.

    What is near differs by model, so it is measured: by the nearest neighbours of the words of a `vocabulary` `[V, D]`.
    """
    if len(vocabulary) < 2:
        return
    limit = float(np.quantile(nearest_neighbours(vocabulary), _FARTHER))
    for first, second, value in _pairs(class_embeddings, limit=limit):
        # The label of fewer images is the one to give up; without images, the later one.
        if winners is not None and winners.counts[first] < winners.counts[second]:
            first, second = second, first
        yield Finding(
            "alike",
            (labels[first], labels[second]),
            f"'{labels[first]}' and '{labels[second]}' are nearer (cosine {value:.2f}) than "
            f"{_FARTHER:.0%} of common words are to their nearest ({limit:.2f})",
            f"make '{labels[second]}' an alias of '{labels[first]}', or say with a description how they differ",
            None if winners is None else _effect(labels, winners, first, second),
        )


def _pairs(embeddings: NDArray[np.float32], *, limit: float) -> Iterator[tuple[int, int, float]]:
    """The pairs of embeddings `[C, D]` whose cosine is above the limit, with the cosine, the nearest first."""
    found = []
    for rows in blocks(len(embeddings), width=len(embeddings)):
        cosine = embeddings[rows] @ embeddings.T
        firsts, seconds = np.nonzero(np.triu(cosine > limit, rows.start + 1))
        found.append((firsts + rows.start, seconds, cosine[firsts, seconds]))
    firsts, seconds, values = map(np.concatenate, zip(*found, strict=True))
    for n in np.argsort(-values, kind="stable"):
        yield int(firsts[n]), int(seconds[n]), float(values[n])


def _effect(labels: Sequence[str], winners: Winners, first: int, second: int) -> str:
    gone = winners.counts[second]
    if not gone:
        return f"'{labels[second]}' has no image now, so that no count changes"
    to_first = winners.without(second).get(first, 0)
    return f"{images(to_first)} of the {gone:,} of '{labels[second]}' have '{labels[first]}' next"
