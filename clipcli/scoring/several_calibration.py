"""Calibrates the scores of several labels an image, and finds the threshold from which on an image has a label.

A score without labelled images ranks well, and is no probability. Its log-odds `z` become those of a probability,
`slope × z + bias`, by logistic regression (Platt 1999), with a normal prior on the logarithm of the slope around 0. The
bias is one for all labels, or one for each, with a normal prior around the common one: a label that half of the images
have needs another than one that is rare. Which of them is decided by ten-fold cross-validation on the likelihood: own
biases must beat the common one by more than one standard error (Breiman et al. 1984).

The threshold is the one with the highest F1 to be expected of these probabilities (Lipton, Elkan and Naryanaswamy
2014), of images that they were not fitted to. All is left as it was unless F1 gains more than one standard error by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.scoring.calibration import folds_of, is_better
from clipcli.scoring.f1 import Truth, micro_f1
from clipcli.scoring.intervals import bootstrap, difference
from clipcli.scoring.kinds import THRESHOLD
from clipcli.scoring.softmax import sigmoid

Array = NDArray[np.float64]

# The standard deviations of the priors: of the slope's logarithm, of the common bias, and of each label's beside it.
_SLOPE_PRIOR, _COMMON_PRIOR, _BIAS_PRIOR = 0.5, 3.0, 1.0
# Digits behind the point that are kept.
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class SeveralCalibration:
    """How the scores of several labels become probabilities, and from which on an image has a label.

    `biases` has one for each class; `None`, with a `slope` of 1, if doing nothing was best. `own_biases` is true if
    labels have biases of their own. `images` is the number of labelled images it was made from; `before` and `after`
    are F1 micro by cross-validation on them.
    """

    slope: float
    biases: tuple[float, ...] | None
    own_biases: bool
    threshold: float
    images: int
    before: float
    after: float

    @property
    def changes_nothing(self) -> bool:
        """True if doing nothing was best."""
        return self.biases is None

    def apply(self, log_odds: Array) -> Array:
        """Probabilities `[N, C]` of log-odds."""
        return sigmoid(log_odds if self.biases is None else self.slope * log_odds + np.asarray(self.biases))

    def in_words(self) -> str:
        """What it does and what it was made from, as part of a sentence."""
        how = "nothing to change" if self.changes_nothing else f"threshold {self.threshold:.2f}"
        return f"{how}, by {self.images:,} labelled images"

    def as_json(self) -> dict[str, Any]:
        """The calibration as JSON holds it."""
        return asdict(self)

    def fits(self, classes: int) -> bool:
        """True if it can be of so many classes: its numbers are finite, and biases are one for each."""
        biases = (0.0,) * classes if self.biases is None else self.biases
        is_finite = bool(np.isfinite(biases).all()) and 0 < self.slope < math.inf
        return is_finite and len(biases) == classes and 0 < self.threshold <= 1

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SeveralCalibration:
        """The calibration that `as_json` gave. Raises `TypeError`, `ValueError` or `KeyError` for anything else."""
        biases = values["biases"]
        facts = {name: float(values[name]) for name in ("slope", "threshold", "before", "after")}
        return cls(**{**values, **facts, "biases": None if biases is None else tuple(map(float, biases))})


def calibrate_several(log_odds: Array, truth: Truth) -> SeveralCalibration:
    """The calibration for log-odds `[N, C]` of images that are known to have these labels `[N, C]`.

    The same images in the same order always give the same.
    """
    held_out = {own: _held_out(log_odds, truth, own_biases=own) for own in (False, True)}
    own_biases = is_better(_losses(held_out[True], truth), _losses(held_out[False], truth))
    probabilities = sigmoid(held_out[own_biases])
    threshold = best_threshold(probabilities)
    statistics = {"before": micro_f1(log_odds >= 0, truth), "after": micro_f1(probabilities >= threshold, truth)}
    found = bootstrap(statistics, count=len(truth))
    gain = difference(found["after"], found["before"], paired=True)
    before_and_after = [round(found[name].value, _DIGITS) for name in ("before", "after")]
    if not gain.value > gain.resampled.std():
        return SeveralCalibration(1.0, None, False, THRESHOLD, len(truth), before_and_after[0], before_and_after[0])
    slope, biases = fit(log_odds, truth, own_biases=own_biases)
    rounded = tuple(round(float(bias), _DIGITS) for bias in biases)
    return SeveralCalibration(
        round(slope, _DIGITS), rounded, own_biases, round(threshold, _DIGITS), len(truth), *before_and_after
    )


def fit(log_odds: Array, truth: Truth, *, own_biases: bool) -> tuple[float, Array]:
    """The slope, and the biases `[C]`, that are most likely a posteriori."""
    from scipy.optimize import minimize

    classes = log_odds.shape[1]

    def loss(values: Array) -> tuple[float, Array]:
        """The negative log of the posterior and its gradient, by log slope, common bias, and each label's beside it."""
        slope, own = np.exp(values[0]), values[2:]
        fitted = slope * log_odds + values[1] + (own if own_biases else 0)
        errors = sigmoid(fitted) - truth
        priors = values / np.concatenate([[_SLOPE_PRIOR**2, _COMMON_PRIOR**2], np.full(len(own), _BIAS_PRIOR**2)])
        by_value = np.concatenate([[(errors * log_odds).sum() * slope, errors.sum()], errors.sum(axis=0)[: len(own)]])
        return float(_losses(fitted, truth).sum() + (values * priors).sum() / 2), by_value + priors

    begin = np.zeros(2 + (classes if own_biases else 0))
    found = minimize(loss, begin, jac=True, method="L-BFGS-B").x
    return float(np.exp(found[0])), found[1] + (found[2:] if own_biases else np.zeros(classes))


def best_threshold(probabilities: Array) -> float:
    """The threshold with the highest F1, over all images and labels, that is to be expected of `[N, C]`."""
    ordered = np.sort(probabilities.ravel())[::-1]
    expected = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
    return float(ordered[expected.argmax()])


def _held_out(log_odds: Array, truth: Truth, *, own_biases: bool) -> Array:
    """Calibrated log-odds `[N, C]` of images that the fit did not see."""
    # Images of the same first label are in different folds.
    folds, held_out = folds_of(truth.argmax(axis=1)), np.empty_like(log_odds)
    for fold in range(folds.max() + 1):
        out, rest = folds == fold, folds != fold
        slope, biases = fit(log_odds[rest], truth[rest], own_biases=own_biases)
        held_out[out] = slope * log_odds[out] + biases
    return held_out


def _losses(log_odds: Array, truth: Truth) -> Array:
    """The negative log-likelihood `[N]` of all labels of each image, in nats."""
    losses: Array = np.logaddexp(0, np.where(truth, -log_odds, log_odds)).sum(axis=1)
    return losses
