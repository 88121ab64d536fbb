"""Reliability of scores: of images scored 80 %, 80 % should be labelled right.

The expected calibration error of Naeini et al. 2015 and Guo et al. 2017, in 15 bins of equal width, as torchmetrics'
`multiclass_calibration_error` with the norm `l1` computes it.

It is a sum of absolute values, so chance alone makes it larger, and more so with fewer images: over a few hundred
images it is well above 0 even if the scores are perfectly calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.scoring.intervals import BOUNDS, RESAMPLES, SEED, Estimate, Float64Array, Statistic

BINS = 15
_EDGES = np.linspace(0, 1, BINS + 1, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Bin:
    """The images with a score from `low` to `high`: their number, mean score, and the share of correct labels."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def calibration_error(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> Statistic:
    """The expected calibration error, as a statistic of scores `[N]` and correct labels `[N]`."""
    gaps = np.zeros((len(confidence), BINS + 1))
    gaps[np.arange(len(confidence)), _bin_indices(confidence)] = correct - confidence.astype(np.float64)

    def statistic(weights: Float64Array) -> Float64Array:
        errors: Float64Array = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
        return errors

    return statistic


def correct_bias(error: Estimate, confidence: NDArray[np.float32]) -> Estimate:
    """The calibration error of scores `[N]` with an interval that allows for the part that is chance.

    Resampling adds about as much to the error as sampling did, so the resampled values are moved down by twice that.
    If perfectly calibrated scores could well give such an error (consistency resampling, Bröcker and Smith 2007), the
    interval begins at 0. The value itself stays as it is, and the interval always holds it.
    """
    resampled = error.resampled - 2 * (error.resampled.mean() - error.value)
    low, high = np.quantile(resampled, BOUNDS)
    if error.value <= np.quantile(_errors_by_chance(confidence), BOUNDS[1]):
        low = 0.0
    return Estimate(error.value, min(max(float(low), 0.0), error.value), max(float(high), error.value), resampled)


def reliability(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The bins of a reliability diagram that hold an image, lowest scores first."""
    # The diagram has no bin for a score of exactly 1; it counts in the bin below.
    indices = np.minimum(_bin_indices(confidence), BINS - 1)
    bins = []
    for n in np.unique(indices):
        in_bin = indices == n
        low, high = (float(edge) for edge in _EDGES[n : n + 2])
        bins.append(Bin(low, high, int(in_bin.sum()), float(confidence[in_bin].mean()), float(correct[in_bin].mean())))
    return tuple(bins)


def _errors_by_chance(confidence: NDArray[np.float32]) -> Float64Array:
    """Simulate calibration errors `[B]` of perfectly calibrated scores `[N]`."""
    rng = np.random.default_rng(SEED)
    scores, indices = confidence.astype(np.float64), _bin_indices(confidence)
    errors = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        gaps = (rng.random(len(scores)) < scores) - scores
        errors[n] = np.abs(np.bincount(indices, weights=gaps)).sum() / len(scores)
    return errors


def _bin_indices(confidence: NDArray[np.float32]) -> NDArray[np.intp]:
    """The bin `[N]` of each score; as in torchmetrics, a score of exactly 1 has a bin of its own."""
    indices: NDArray[np.intp] = np.searchsorted(_EDGES, confidence.astype(np.float32), side="right") - 1
    return indices
