"""F1 of several labels an image, as scikit-learn has it, as statistics whose intervals can be told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipcli.scoring.intervals import Float64Array, Statistic

Truth = NDArray[np.bool_]


def micro_f1(given: Truth, truth: Truth) -> Statistic:
    """F1 over all pairs of image and label, given and true `[M, C]`, as a statistic."""
    both, either = _counts(given, truth)
    return lambda weights: ratio(weights @ both.sum(axis=1), weights @ either.sum(axis=1))


def macro_f1(given: Truth, truth: Truth) -> Statistic:
    """The mean over labels of F1, of those given and true `[M, C]`, as a statistic.

    A label that no image of a draw has or is given does not count in it.
    """
    both, either = _counts(given, truth)

    def statistic(weights: Float64Array) -> Float64Array:
        found = weights @ either
        return ratio(ratio(weights @ both, found).sum(axis=1), (found > 0).sum(axis=1))

    return statistic


def ratio(part: Float64Array, whole: Float64Array | NDArray[np.intp]) -> Float64Array:
    """The ratio, and 0 where there is nothing."""
    ratio: Float64Array = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


def _counts(given: Truth, truth: Truth) -> tuple[Float64Array, Float64Array]:
    """For each pair of image and label twice the true positives, and the sum of positives: F1 is their ratio."""
    both: Float64Array = 2 * (given & truth).astype(np.float64)
    either: Float64Array = given.astype(np.float64) + truth.astype(np.float64)
    return both, either
