"""How sure a figure is: the percentile bootstrap over images (Efron 1979), seeded.

Every figure is a function of weights: how often each image was drawn. All figures of the same images see the same
draws, so that the difference of two of them is that of a paired bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# From weights `[B, N]` to values `[B]`.
Statistic = Callable[[Floats], Floats]
RESAMPLES = 1000
LEVEL = 0.95
BOUNDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
SEED = 0
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, and its values `[B]` on the resampled images."""

    value: float
    low: float
    high: float
    resampled: Floats = field(repr=False, compare=False)


def estimates(statistics: Mapping[str, Statistic], *, count: int) -> dict[str, Estimate]:
    """Each statistic of `count` images with its 95 % interval."""
    drawn: dict[str, list[Floats]] = {name: [] for name in statistics}
    for weights in _draws(count):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    once = np.ones((1, count))
    return {
        name: _estimate(float(statistic(once)[0]), np.concatenate(drawn[name]))
        for name, statistic in statistics.items()
    }


def difference(one: Estimate, other: Estimate, *, paired: bool) -> Estimate:
    """`one` less `other`; `paired` says that they are of the same images, in the same order."""
    resampled = other.resampled
    if not paired:
        # Two sets of one size were drawn from alike: out of order, the draws of one say nothing about the other's.
        resampled = np.random.default_rng(SEED + 1).permutation(resampled)
    return _estimate(one.value - other.value, one.resampled - resampled)


def mean_of(values: NDArray[np.generic]) -> Statistic:
    """The mean of values `[N]`."""
    return ratio_of(values, np.ones(len(values)))


def ratio_of(values: NDArray[np.generic], sizes: NDArray[np.generic]) -> Statistic:
    """The sum of values `[N]` over the sum of sizes `[N]`, as where an image has several captions."""
    numerator, denominator = values.astype(np.float64), sizes.astype(np.float64)
    return lambda weights: (weights @ numerator) / (weights @ denominator)


def mean_by_class(values: NDArray[np.generic], classes: NDArray[np.intp]) -> Statistic:
    """The mean over classes of the mean of values `[N]` in each; a class that was not drawn does not count."""
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    of_class = values[order].astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        ordered = weights[:, order]
        drawn = np.add.reduceat(ordered, starts, axis=1)
        sums = np.add.reduceat(ordered * of_class, starts, axis=1)
        means = np.divide(sums, drawn, out=np.zeros_like(sums), where=drawn > 0)
        averages: Floats = means.sum(axis=1) / (drawn > 0).sum(axis=1)
        return averages

    return statistic


def _estimate(value: float, resampled: Floats) -> Estimate:
    low, high = np.quantile(resampled, BOUNDS)
    return Estimate(value, float(low), float(high), resampled)


def _draws(count: int) -> Iterator[Floats]:
    """How often each of `count` images is drawn, `[B, N]`, some of the `RESAMPLES` times at once."""
    rng = np.random.default_rng(SEED)
    done = 0
    while done < RESAMPLES:
        rows = min(max(1, _CELLS // count), RESAMPLES - done)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        done += rows
