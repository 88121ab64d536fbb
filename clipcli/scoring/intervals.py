"""Confidence intervals of metrics: the percentile bootstrap over images (Efron 1979), seeded.

Each metric is a function of weights: how often each image was drawn. All metrics of the same images see the same draws,
so that the difference of two of them is that of a paired bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
# A metric as a function from weights `[B, N]` of N images in B draws to values `[B]`.
Statistic = Callable[[Float64Array], Float64Array]
RESAMPLES = 1000
LEVEL = 0.95
# The quantiles at which the interval begins and ends.
BOUNDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
SEED = 0
# Weights that are kept in memory at once.
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its interval from `low` to `high`, and its values `[B]` on the resampled images."""

    value: float
    low: float
    high: float
    resampled: Float64Array = field(repr=False, compare=False)


def bootstrap(statistics: Mapping[str, Statistic], *, count: int) -> dict[str, Estimate]:
    """Estimate each statistic of `count` images, with its 95 % interval."""
    resampled: dict[str, list[Float64Array]] = {name: [] for name in statistics}
    for weights in _draws(count):
        for name, statistic in statistics.items():
            resampled[name].append(statistic(weights))
    every_image_once = np.ones((1, count))
    return {
        name: _estimate(float(statistic(every_image_once)[0]), np.concatenate(resampled[name]))
        for name, statistic in statistics.items()
    }


def difference(estimate: Estimate, base: Estimate, *, paired: bool) -> Estimate:
    """Estimate `estimate` minus `base`; `paired` says that both are of the same images, in the same order."""
    resampled = base.resampled
    if not paired:
        # Two sets of the same size see the same draws; shuffling makes the two bootstraps independent.
        resampled = np.random.default_rng(SEED + 1).permutation(resampled)
    return _estimate(estimate.value - base.value, estimate.resampled - resampled)


def mean_of(values: NDArray[np.generic]) -> Statistic:
    """The mean of values `[N]`, one per image, as a statistic."""
    return ratio_of(values, np.ones(len(values)))


def ratio_of(values: NDArray[np.generic], sizes: NDArray[np.generic]) -> Statistic:
    """The sum of values `[N]` over the sum of sizes `[N]`, as a statistic: a mean over captions, several per image."""
    numerator, denominator = values.astype(np.float64), sizes.astype(np.float64)
    return lambda weights: (weights @ numerator) / (weights @ denominator)


def mean_by_class(values: NDArray[np.generic], classes: NDArray[np.intp]) -> Statistic:
    """The mean over classes of the mean of values `[N]` in each class, as a statistic; `classes` `[N]` are indices.

    A class without an image in a draw does not count in it.
    """
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    by_class = values[order].astype(np.float64)

    def statistic(weights: Float64Array) -> Float64Array:
        ordered = weights[:, order]
        drawn = np.add.reduceat(ordered, starts, axis=1)
        sums = np.add.reduceat(ordered * by_class, starts, axis=1)
        means = np.divide(sums, drawn, out=np.zeros_like(sums), where=drawn > 0)
        averages: Float64Array = means.sum(axis=1) / (drawn > 0).sum(axis=1)
        return averages

    return statistic


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of `count` were seen (Wilson 1927): for few of them as well."""
    z = NormalDist().inv_cdf(BOUNDS[1])
    share, size = right / count, count + z * z
    middle = (right + z * z / 2) / size
    half = z / size * sqrt(count * share * (1 - share) + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def _estimate(value: float, resampled: Float64Array) -> Estimate:
    low, high = np.quantile(resampled, BOUNDS)
    return Estimate(value, float(low), float(high), resampled)


def _draws(count: int) -> Iterator[Float64Array]:
    """Draw `count` images with replacement, `RESAMPLES` times, and count how often each is drawn.

    Yields the counts `[B, N]` in chunks of draws that fit in memory.
    """
    rng = np.random.default_rng(SEED)
    done = 0
    while done < RESAMPLES:
        rows = min(max(1, _CELLS // count), RESAMPLES - done)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        done += rows
