"""Linear probes: logistic regression on frozen image embeddings, as in Radford et al. 2021.

The regression is scikit-learn's, with L-BFGS. Its regularisation is the one with the highest likelihood on validation
images, taken from the training data: a fifth of all, or with few shots up to 4 further images per class, as in CoOp
(Zhou et al. 2022).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.classification import predict_in_chunks, predictions_from
from clipcli.commands.evaluate.results import Float32Array, IndexArray, Predictions
from clipcli.errors import UsageError
from clipcli.scoring.intervals import Float64Array
from clipcli.scoring.softmax import log_softmax

# Values of C to choose from, the strongest regularisation first.
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
# Without shots, one image in so many is for validation.
_VALIDATION_EVERY = 5
_MOST_VALIDATION_SHOTS = 4
_MOST_STEPS = 1000
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
    best_strength, lowest_loss, worse = STRENGTHS[0], np.inf, 0
    last: FittedProbe | None = None
    for last in _regularisation_path(embeddings[images.train], truth[images.train]):
        loss = float(predict(last, embeddings[images.validation], truth[images.validation]).loss.mean())
        worse = worse + 1 if loss > lowest_loss else 0
        if loss < lowest_loss:
            best_strength, lowest_loss = last.strength, loss
        if worse == _PATIENCE:
            break
    if last is not None and last.strength == best_strength and len(images.final) == len(images.train):
        return last
    return next(_regularisation_path(embeddings[images.final], truth[images.final], strengths=(best_strength,)))


def predict(probe: FittedProbe, embeddings: Float32Array, truth: IndexArray) -> Predictions:
    """Predict the classes of embeddings `[M, D]` with a probe; the scores are probabilities."""

    def predict_chunk(embeddings: Float32Array, truth: IndexArray) -> Predictions:
        logits: Float64Array = embeddings.astype(np.float64) @ probe.weights.T + probe.bias
        log_probabilities = log_softmax(logits)
        scores = np.exp(log_probabilities).astype(np.float32)
        return predictions_from(ranking=logits, scores=scores, log_probabilities=log_probabilities, truth=truth)

    return predict_in_chunks(predict_chunk, embeddings, truth)


def _regularisation_path(
    embeddings: Float32Array, truth: IndexArray, *, strengths: Sequence[float] = STRENGTHS
) -> Iterator[FittedProbe]:
    """Fit a probe for each strength in order, each starting from the weights of the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=_MOST_STEPS, warm_start=True)
    for strength in strengths:
        model.C = strength
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(embeddings.astype(np.float64), truth)
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            # For two classes there is one logit: that of the second class minus that of the first.
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        yield FittedProbe(weights.copy(), bias.copy(), strength, bool((model.n_iter_ < _MOST_STEPS).all()))
