"""Which labels win on the images, and what would win without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.labels.findings import Finding, images
from clipcli.scoring.blocks import blocks

# With fewer images a label on average, one without an image says little.
_ENOUGH = 3
# A label wins everywhere if its share of the images is this large and this many times as large as an even share, and
# the images it wins are this nearly as different as all are.
_LARGE, _TIMES_EVEN, _AS_DIFFERENT = 0.25, 2.0, 0.9
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Winners:
    """The best and the second-best class of each image, `[N]` each, and the number of images `[C]` of each class."""

    best: NDArray[np.intp]
    second: NDArray[np.intp]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], class_embeddings: NDArray[np.float32]) -> Winners:
        """The winners on images `[N, D]` among classes `[C, D]`: among equals the earlier; one alone is second too."""
        best, second = np.empty(len(embeddings), np.intp), np.empty(len(embeddings), np.intp)
        for rows in blocks(len(embeddings), width=len(class_embeddings)):
            cosine = embeddings[rows] @ class_embeddings.T
            best[rows] = cosine.argmax(axis=1)
            np.put_along_axis(cosine, best[rows, None], -np.inf, axis=1)
            second[rows] = cosine.argmax(axis=1)
        return cls(best, second, np.bincount(best, minlength=len(class_embeddings)))

    def without(self, label: int) -> Mapping[int, int]:
        """Where the images of a class would go without it: the number by class, the most first."""
        return dict(Counter(self.second[self.best == label].tolist()).most_common())


def never(labels: Sequence[str], winners: Winners) -> Iterator[Finding]:
    """The labels that no image gets, if there are enough images for that to mean something."""
    if len(winners.best) < _ENOUGH * len(labels):
        return
    for n in np.flatnonzero(winners.counts == 0).tolist():
        behind = Counter(winners.best[winners.second == n].tolist()).most_common(1)
        if behind:
            [(ahead, count)] = behind
            says = f"'{labels[n]}' is second on {images(count)} that '{labels[ahead]}' gets, and first on none"
        else:
            says = f"'{labels[n]}' is neither first nor second on any image"
        yield Finding(
            "never",
            (labels[n],),
            says,
            f"if there are photos of it, write '{labels[n]}' in other words or give it aliases; else leave it out",
            "left out, it changes no count",
        )


def everywhere(labels: Sequence[str], embeddings: NDArray[np.float32], winners: Winners) -> Iterator[Finding]:
    """The labels that win on much of the images `[N, D]`, on images that are as different as all of them are."""
    count = len(embeddings)
    if count < _ENOUGH * len(labels) or len(labels) < 3:
        return
    spread = _spread(embeddings)
    for n in np.argsort(-winners.counts, kind="stable").tolist():
        won = int(winners.counts[n])
        if won < max(_LARGE, _TIMES_EVEN / len(labels)) * count:
            return
        if _spread(embeddings[winners.best == n]) < _AS_DIFFERENT * spread:
            continue
        others = list(winners.without(n).items())
        go = [f"{number:,} to '{labels[other]}'" for other, number in others[:_SHOWN]]
        more = sum(number for _, number in others[_SHOWN:])
        yield Finding(
            "everywhere",
            (labels[n],),
            f"'{labels[n]}' gets {images(won)} of {count:,}, and they are nearly as different from each other as all",
            f"write '{labels[n]}' more narrowly, or split it into the things that these photos show",
            f"without it they go elsewhere: {', '.join([*go, f'{more:,} to others'] if more else go)}",
        )


def _spread(embeddings: NDArray[np.float32]) -> float:
    """The mean squared distance of embeddings `[N, D]` from their mean."""
    return float(1 - np.square(embeddings.mean(axis=0)).sum())
