"""Linear probes: logistic regression on frozen image embeddings, as in Radford et al. 2021.

The regression is scikit-learn's, with L-BFGS. Its regularisation is the one with the highest likelihood on validation
images, taken from the training data: a fifth of all, or with few shots up to 4 further images per class, as in CoOp
(Zhou et al. 2022). It is searched as Radford et al. do (appendix A.3), from powers of ten to eighths of a decade.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.classification import predict_in_chunks, predictions_from
from clipcli.commands.evaluate.results import Float32Array, IndexArray, Predictions
from clipcli.errors import UsageError
from clipcli.scoring.intervals import Float64Array
from clipcli.scoring.softmax import log_softmax

# The search for C counts in eighths of a decade: it begins at 0.1, and stays from 1e-6 to 1e6.
_DECADE = 8
_FIRST, _LEAST, _MOST = -1 * _DECADE, -6 * _DECADE, 6 * _DECADE
# Without shots, one image in so many is for validation.
_VALIDATION_EVERY = 5
_MOST_VALIDATION_SHOTS = 4
_MOST_STEPS = 1000
# A fit ends where its gradient is this share of that of weights of 0: in the search, and for the probe itself.
# scikit-learn's own bound, 1e-4 for the mean over images, is above the gradient of weights of 0 where there are
# hundreds of classes, and would leave them so.
_ROUGH, _PRECISE = 1e-2, 1e-4
# The search ends after so many strengths in a row that are worse than the best.
_PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Split:
    """The images of a probe, as indices.

    To choose the regularisation, probes are fitted on `train` and compared on `validation`; the final one is fitted on
    `final`.
    """

    final: IndexArray
    train: IndexArray
    validation: IndexArray

    def within(self, images: IndexArray) -> Split:
        """The same split, as positions in `images`, which are sorted and contain all of its indices."""
        return Split(*(np.searchsorted(images, part) for part in (self.final, self.train, self.validation)))


@dataclass(frozen=True, slots=True)
class FittedProbe:
    """A probe: its weights `[C, D]` and bias `[C]`, the regularisation C as `strength`, and whether it converged."""

    weights: Float64Array
    bias: Float64Array
    strength: float
    converged: bool


def check_shots(truth: IndexArray, labels: Sequence[str], shots: Sequence[int], *, where: str) -> None:
    """Raise `UsageError` if a class has too few images for the most shots and one validation image."""
    counts = np.bincount(truth, minlength=len(labels))
    smallest = int(counts.argmin())
    most = max(shots, default=1)
    if counts[smallest] < most + 1:
        raise UsageError(
            f"{where}: class '{labels[smallest]}' has {counts[smallest]} images, and expected are {most + 1}:"
            f" {most} to fit and at least one more to choose the regularisation on; add images, or give fewer --shots"
        )


def needed_images(truth: IndexArray, *, shots: Sequence[int | None], seeds: int) -> IndexArray:
    """The images that are in the split of any number of shots and any seed, as sorted indices into `truth` `[N]`."""
    splits = [
        split(truth, shots=number, seed=seed) for number in shots for seed in range(1 if number is None else seeds)
    ]
    return np.unique(np.concatenate([np.concatenate([part.final, part.validation]) for part in splits]))


def split(truth: IndexArray, *, shots: int | None, seed: int, usable: NDArray[np.bool_] | None = None) -> Split:
    """Draw a split of images with the classes `truth` `[N]`: `shots` per class, or all if it is `None`.

    An image that is not `usable` `[N]` is replaced by the next one of its class; the others stay the same.
    """
    rng = np.random.default_rng(seed)
    final, train, validation = [], [], []
    for class_index in np.unique(truth):
        images = rng.permutation(np.flatnonzero(truth == class_index))
        if usable is not None:
            images = images[usable[images]]
        if shots is None:
            held_out = len(images) // _VALIDATION_EVERY or min(1, len(images) - 1)
            final.append(images)
            train.append(images[held_out:])
            validation.append(images[:held_out])
        else:
            final.append(images[:shots])
            train.append(images[:shots])
            validation.append(images[shots : shots + min(shots, _MOST_VALIDATION_SHOTS)])
    return Split(*(np.sort(np.concatenate(parts)) for parts in (final, train, validation)))


def fit(embeddings: Float32Array, truth: IndexArray, images: Split) -> FittedProbe:
    """Fit a probe on L2-normalised embeddings `[N, D]` with the classes `truth` `[N]`.

    Its regularisation is the one with the highest likelihood on the validation images: with few images, accuracy is
    the same for many strengths.
    """
    regression = _Regression(embeddings[images.train], truth[images.train])
    best, lowest = None, np.inf

    @cache
    def loss(eighths: int) -> float:
        nonlocal best, lowest
        probe = regression.fit(strength(eighths), precision=_ROUGH, start=best)
        value = float(predict(probe, embeddings[images.validation], truth[images.validation]).loss.mean())
        if best is None or value < lowest:
            best, lowest = probe, value
        return value

    chosen = strength(most_likely(loss))
    if len(images.final) != len(images.train):
        regression = _Regression(embeddings[images.final], truth[images.final])
    return regression.fit(chosen, precision=_PRECISE, start=best)


def strength(eighths: int) -> float:
    """The regularisation C that is so many eighths of a decade from 1."""
    return float(10 ** (eighths / _DECADE))


def most_likely(loss: Callable[[int], float]) -> int:
    """The strength, in eighths of a decade, at which the loss is lowest; of equal ones that nearest to the first tried.

    Powers of ten are tried upwards from 0.1, or downwards where that is best, and then what is half, a quarter and an
    eighth of a decade beside the best.
    """
    best = _lowest_along(range(_FIRST, _MOST + 1, _DECADE), loss)
    if best == _FIRST:
        best = _lowest_along(range(_FIRST, _LEAST - 1, -_DECADE), loss)
    for step in (_DECADE // 2, _DECADE // 4, _DECADE // 8):
        best = min((best, max(best - step, _LEAST), min(best + step, _MOST)), key=loss)
    return best


def predict(probe: FittedProbe, embeddings: Float32Array, truth: IndexArray) -> Predictions:
    """Predict the classes of embeddings `[M, D]` with a probe; the scores are probabilities."""

    def predict_chunk(embeddings: Float32Array, truth: IndexArray) -> Predictions:
        logits: Float64Array = embeddings.astype(np.float64) @ probe.weights.T + probe.bias
        log_probabilities = log_softmax(logits)
        scores = np.exp(log_probabilities).astype(np.float32)
        return predictions_from(ranking=logits, scores=scores, log_probabilities=log_probabilities, truth=truth)

    return predict_in_chunks(predict_chunk, embeddings, truth)


def _lowest_along(all_eighths: Iterable[int], loss: Callable[[int], float]) -> int:
    """The strength with the lowest loss, of those in order until some in a row are worse."""
    best, worse = _FIRST, 0
    for eighths in all_eighths:
        worse = worse + 1 if loss(eighths) > loss(best) else 0
        if loss(eighths) < loss(best):
            best = eighths
        if worse == _PATIENCE:
            break
    return best


class _Regression:
    """Logistic regression on embeddings `[N, D]` with the classes `[N]`, for any strength."""

    def __init__(self, embeddings: Float32Array, truth: IndexArray) -> None:
        self._embeddings, self._truth = embeddings.astype(np.float64), truth
        classes, own = np.unique(truth, return_inverse=True)
        sums = np.zeros((len(classes), embeddings.shape[1]))
        np.add.at(sums, own, self._embeddings)
        # Of the mean loss at weights of 0, where all classes are as likely.
        gradient = (self._embeddings.sum(axis=0) / len(classes) - sums) / len(truth)
        self._largest = max(float(np.abs(gradient).max()), np.finfo(np.float64).eps)

    def fit(self, strength: float, *, precision: float, start: FittedProbe | None = None) -> FittedProbe:
        """Fit a probe until its gradient is the share `precision` of that of weights of 0.

        From the weights of another, where that is given, it takes fewer steps.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=strength, tol=precision * self._largest, max_iter=_MOST_STEPS, warm_start=True)
        if start is not None:
            # For two classes there is one logit: that of the second class minus that of the first.
            two = len(start.bias) == 2
            model.coef_ = start.weights[1:] - start.weights[:1] if two else start.weights.copy()
            model.intercept_ = start.bias[1:] - start.bias[:1] if two else start.bias.copy()
        with warnings.catch_warnings(record=True) as said:
            # It also warns of many classes with few images.
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(self._embeddings, self._truth)
        steps = int(model.n_iter_.max())
        if start is not None and steps == 0:
            return self.fit(strength, precision=precision)
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        failed = any(issubclass(warning.category, ConvergenceWarning) for warning in said)
        return FittedProbe(weights.copy(), bias.copy(), strength, converged=steps > 0 and not failed)
