"""Whether a score means what it says: of images scored 80 %, 80 % should be right.

The expected calibration error of Naeini et al. 2015 and Guo et al. 2017, in 15 bins of equal width, as torchmetrics'
`multiclass_calibration_error` with the norm `l1` counts it.

It is a sum of absolute values, so that chance alone makes it larger, and the more so the fewer the images: of a few
hundred images it is well above 0 even where every score means what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.intervals import BOUNDS, RESAMPLES, SEED, Estimate, Floats, Statistic

BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Images with a score from `low` to `high`: how many, their mean score, and the share of them that is right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> Statistic:
    """The expected calibration error of scores `[N]` of answers that are right or not `[N]`."""
    gaps = np.zeros((len(confidence), BINS + 1))
    gaps[np.arange(len(confidence)), _places(confidence)] = right - confidence.astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        errors: Floats = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
        return errors

    return statistic


def without_bias(error: Estimate, confidence: NDArray[np.float32]) -> Estimate:
    """The calibration error of scores `[N]` with an interval that allows for what chance adds to it.

    Drawing images anew adds about as much again as drawing them did: the resampled values are moved down by twice that.
    Where scores that mean what they say could well give such an error (consistency resampling, Bröcker and Smith 2007),
    the interval begins at 0. It always holds the figure itself, which stays as it is.
    """
    resampled = error.resampled - 2 * (error.resampled.mean() - error.value)
    low, high = np.quantile(resampled, BOUNDS)
    if error.value <= np.quantile(_errors_by_chance(confidence), BOUNDS[1]):
        low = 0.0
    return Estimate(error.value, min(max(float(low), 0.0), error.value), max(float(high), error.value), resampled)


def reliability(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The bins that hold an image, the lowest scores first."""
    # A score of exactly 1 is drawn with those just below it.
    places = np.minimum(_places(confidence), BINS - 1)
    bins = []
    for place in np.unique(places):
        here = places == place
        low, high = (float(edge) for edge in _EDGES[place : place + 2])
        bins.append(Bin(low, high, int(here.sum()), float(confidence[here].mean()), float(right[here].mean())))
    return tuple(bins)


_EDGES = np.linspace(0, 1, BINS + 1, dtype=np.float32)


def _errors_by_chance(confidence: NDArray[np.float32]) -> Floats:
    """Calibration errors `[B]` of answers that are right as often as their scores `[N]` say."""
    rng = np.random.default_rng(SEED)
    scores, places = confidence.astype(np.float64), _places(confidence)
    errors = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        gaps = (rng.random(len(scores)) < scores) - scores
        errors[n] = np.abs(np.bincount(places, weights=gaps)).sum() / len(scores)
    return errors


def _places(confidence: NDArray[np.float32]) -> NDArray[np.intp]:
    """The bin `[N]` of each score; as torchmetrics has it, a score of exactly 1 is in a bin of its own."""
    places: NDArray[np.intp] = np.searchsorted(_EDGES, confidence.astype(np.float32), side="right") - 1
    return places
