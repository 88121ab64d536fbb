"""Calibrates a classifier: finds the temperature, and the bias a class, with which its scores are true.

A score is the softmax of logits; calibrated it is the softmax of `logits / temperature + biases`. The three ways to
calibrate, from the simplest to the richest:

- doing nothing;
- a temperature (Guo et al. 2017). Fitted to fifty labels alone it can do more harm than good, so that its logarithm has
  a normal prior around 0, the model's own scale. The more labels, the less the prior weighs;
- a temperature with a bias a class (Alexandari et al. 2020), each bias with a normal prior around 0, and only for
  classes with labelled images enough. They change which class is best: many models like some labels too well.

Which one is decided by ten-fold cross-validation (Stone 1974) on the likelihood of the true classes: a richer way must
beat each simpler one by more than one standard error (Breiman et al. 1984). Of made images with true scores, fifty
labels change something in one of ten draws, and then little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.scoring.intervals import bootstrap
from clipcli.scoring.reliability import calibration_error, correct_bias
from clipcli.scoring.softmax import log_loss, log_softmax

Array = NDArray[np.float64]
Places = NDArray[np.intp]

# The least number of labelled images from which anything but chance can be told.
LEAST_IMAGES = 20
# The standard deviations of the priors: of the temperature's logarithm, and of a bias in nats.
TEMPERATURE_PRIOR, BIAS_PRIOR = 0.3, 1.0
# Labelled images that a class needs for a bias of its own; the others keep 0.
LEAST_OF_A_CLASS = 2
FOLDS = 10
# The relative change of the loss at which a fit ends.
_PRECISION = 1e-7
# Digits behind the point that are kept of a temperature and of biases.
_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The quality of scores on labelled images: calibration error with its 95 % interval, top-1, likelihood in nats."""

    ece: float
    ece_low: float
    ece_high: float
    top1: float
    nll: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How the logits of a classifier become scores that are true, and what that was made from.

    `biases` has one for each class, `None` if none were chosen. `images` is the number of labelled images it was made
    from, and `labels` how many different labels these had. `before` and `after` are by cross-validation: `after` says
    how the scores of images do that the calibration was not fitted to. From the score `unknown_at` on an image is
    unknown, by `nones` images of no class; `None` if there were none.
    """

    temperature: float
    biases: tuple[float, ...] | None
    images: int
    labels: int
    before: Quality
    after: Quality
    unknown_at: float | None = None
    nones: int = 0

    @property
    def changes_nothing(self) -> bool:
        """True if doing nothing was best."""
        return self.temperature == 1 and self.biases is None

    def apply(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Calibrated logits `[N, C]` of those at the model's own scale, in the same precision."""
        calibrated: NDArray[Any] = logits / logits.dtype.type(self.temperature)
        return calibrated if self.biases is None else calibrated + np.asarray(self.biases, logits.dtype)

    def in_words(self) -> str:
        """What it does and what it was made from, as part of a sentence."""
        with_biases = "" if self.biases is None else " and a bias for each label"
        how = "nothing to change" if self.changes_nothing else f"temperature {self.temperature:.2f}{with_biases}"
        taught = self.unknown_at is not None
        unknown = f"; unknown from {self.unknown_at:.2f} on, by {self.nones:,} of none" if taught else ""
        return f"{how}, by {self.images:,} labelled images{unknown}"

    def as_json(self) -> dict[str, Any]:
        """The calibration as JSON holds it; without a threshold for unknown images if nothing taught one."""
        facts = asdict(self)
        if self.unknown_at is None:
            del facts["unknown_at"], facts["nones"]
        return facts

    def fits(self, classes: int) -> bool:
        """True if it can be of so many classes: its numbers are finite, and biases are one for each."""
        biases = (0.0,) * classes if self.biases is None else self.biases
        return 0 < self.temperature < math.inf and len(biases) == classes and bool(np.isfinite(biases).all())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration that `as_json` gave. Raises `TypeError`, `ValueError` or `KeyError` for anything else."""
        biases = values["biases"]
        facts: dict[str, Any] = {
            "temperature": float(values["temperature"]),
            "biases": None if biases is None else tuple(map(float, biases)),
            "before": Quality(**values["before"]),
            "after": Quality(**values["after"]),
        }
        return cls(**{**values, **facts})


def calibration_of(logits: Array, truth: Places) -> Calibration:
    """The calibration for logits `[N, C]` of images whose true classes `[N]` are known, as the model gave them.

    The same images in the same order always give the same.
    """
    ways = [_UNCHANGED, *(fit(logits, truth, with_biases=with_biases) for with_biases in (False, True))]
    candidates = [_held_out(logits, truth, way) for way in ways]
    losses = [log_loss(one, truth) for one in candidates]
    chosen = 0
    for n in range(1, len(ways)):
        if all(is_better(losses[n], simpler) for simpler in losses[:n]):
            chosen = n
    temperature, biases = ways[chosen]
    return Calibration(
        temperature=round(temperature, _DIGITS),
        biases=None if biases is None else tuple(round(float(bias), _DIGITS) for bias in biases),
        images=len(truth),
        labels=len(np.unique(truth)),
        before=quality(candidates[0], truth),
        after=quality(candidates[chosen], truth),
    )


# A temperature, and biases `[C]` or none.
Fitted = tuple[float, Array | None]
_UNCHANGED: Fitted = (1.0, None)


def fit(logits: Array, truth: Places, *, with_biases: bool, start: Fitted = _UNCHANGED) -> Fitted:
    """The temperature, and the biases if there are to be any, that are most likely a posteriori.

    The search begins at `start`; where it ends does not depend on that. Other arguments as in `calibration_of`.
    """
    from scipy.optimize import minimize

    count, classes = logits.shape
    rows = np.arange(count)
    enough = np.bincount(truth, minlength=classes) >= LEAST_OF_A_CLASS
    free = np.flatnonzero(enough) if with_biases else np.empty(0, np.intp)

    def loss(values: Array) -> tuple[float, Array]:
        """The negative log of the posterior and its gradient, by the log of the temperature and the free biases."""
        log_temperature, biases = values[0], np.zeros(classes)
        biases[free] = values[1:]
        scaled = logits * np.exp(-log_temperature)
        log_probabilities = log_softmax(scaled + biases)
        errors = np.exp(log_probabilities)
        errors[rows, truth] -= 1
        prior = log_temperature / TEMPERATURE_PRIOR**2
        by_temperature = prior - (errors * scaled).sum()
        by_bias = errors.sum(axis=0)[free] + values[1:] / BIAS_PRIOR**2
        cost = log_temperature * prior / 2 + (values[1:] ** 2).sum() / (2 * BIAS_PRIOR**2)
        return cost - log_probabilities[rows, truth].sum(), np.concatenate([[by_temperature], by_bias])

    begin = np.concatenate([[np.log(start[0])], np.zeros(len(free)) if start[1] is None else start[1][free]])
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"ftol": _PRECISION}).x
    biases = np.zeros(classes)
    biases[free] = found[1:]
    return float(np.exp(found[0])), biases if with_biases else None


def quality(logits: Array, truth: Places) -> Quality:
    """The quality of the scores of logits `[N, C]` for images of these classes `[N]`."""
    confidence = np.exp(log_softmax(logits)).max(axis=1).astype(np.float32)
    correct = logits.argmax(axis=1) == truth
    estimates = bootstrap({"ece": calibration_error(confidence, correct)}, count=len(correct))
    ece = correct_bias(estimates["ece"], confidence)
    nll = float(log_loss(logits, truth).mean())
    return Quality(ece=ece.value, ece_low=ece.low, ece_high=ece.high, top1=float(correct.mean()), nll=nll)


def _held_out(logits: Array, truth: Places, way: Fitted) -> Array:
    """Logits `[N, C]` calibrated in the `way` that was fitted to all images, of images that it was not fitted to."""
    if way is _UNCHANGED:
        return logits
    folds, held_out = folds_of(truth), np.empty_like(logits)
    for fold in range(folds.max() + 1):
        out, rest = folds == fold, folds != fold
        temperature, biases = fit(logits[rest], truth[rest], with_biases=way[1] is not None, start=way)
        held_out[out] = logits[out] / temperature + (0 if biases is None else biases)
    return held_out


def folds_of(truth: Places) -> Places:
    """The fold `[N]` of each image: those of a class are in different folds, as far as that goes."""
    shuffled = np.random.default_rng(0).permutation(len(truth))
    by_class = shuffled[np.argsort(truth[shuffled], kind="stable")]
    folds = np.empty(len(truth), np.intp)
    folds[by_class] = np.arange(len(truth)) % FOLDS
    return folds


def is_better(losses: Array, simpler: Array) -> bool:
    """True if the losses `[N]` are smaller on average by more than one standard error of their paired difference."""
    gains = simpler - losses
    return bool(gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains)))
