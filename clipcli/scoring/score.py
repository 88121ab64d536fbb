"""Scores of images against classes, in numpy float32.

`softmax`: probabilities over the classes, at the model's logit scale (Radford et al. 2021).
`sigmoid`: the probability of each class by itself, with the model's bias (Zhai et al. 2023, SigLIP).
`cosine`: the similarity itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import UsageError
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.softmax import softmax

Array = NDArray[np.float32]
Float = TypeVar("Float", np.float32, np.float64)
UNCALIBRATED = "the classifier is calibrated for softmax alone; scores of another kind are as the model gives them"

# Up to so many best classes are looked for one by one.
_FEW = 8

ONE_CLASS = (
    "one class alone scores 1 on every image, whatever it shows; classify with --unknown to ask whether it is there, or"
    " add classes to choose from"
)


def choose_score(requested: str, classifier: Classifier) -> str:
    """The kind of score to use: the requested one; for `auto` the model's own, or `softmax` where it is calibrated.

    Raises `UsageError` for `sigmoid` with a model that has no logit bias, and for a refined classifier unless it is
    `softmax`.
    """
    own = classifier.score if classifier.calibration is None else "softmax"
    kind = own if requested == "auto" else requested
    if classifier.weights is not None and kind != "softmax":
        made = "refined" if classifier.adaptation is None else "adapted"
        raise UsageError(f"the classifier is {made}, and its scores are softmax; {kind} needs one that is not {made}")
    if kind == "sigmoid" and classifier.logit_bias is None:
        raise UsageError(f"{classifier.model} has no logit bias, so a sigmoid means nothing; use --score softmax")
    return kind


def score(embeddings: Array, classifier: Classifier, *, kind: str) -> Array:
    """Score image embeddings `[N, D]`, L2-normalised, against the classes: `[N, C]` float32.

    `kind` is `softmax`, `sigmoid` or `cosine`. For the first two, cosines are multiplied by the logit scale before they
    become probabilities; for `softmax` the logits are then calibrated, and for `sigmoid` the logit bias is added.
    """
    return from_cosine(cosine_of(embeddings, classifier), classifier, kind=kind)


def cosine_of(embeddings: Array, classifier: Classifier) -> Array:
    """Cosines `[N, C]` float32 of image embeddings `[N, D]` to the classes, or what a refined classifier has for them.

    They are summed in float64, so that a row does not depend on the number of rows. In float32 BLAS gives other last
    digits for other numbers of rows, and a run that goes on from the cache has other batches.
    """
    biases = 0.0 if classifier.biases is None else classifier.biases.astype(np.float64)
    similarities: Array = (embeddings.astype(np.float64) @ classifier.exact_classes.T + biases).astype(np.float32)
    return similarities


def from_cosine(cosine: Array, classifier: Classifier, *, kind: str) -> Array:
    """Turn cosines `[N, C]` into scores `[N, C]` of this kind."""
    return _FUNCTIONS[kind](cosine, classifier)


def best(scores: Array, k: int) -> NDArray[np.intp]:
    """Indices `[N, k]` of the best classes of `scores` `[N, C]`, best first; among equals the earlier class first."""
    if k <= _FEW and (found := _best_one_by_one(scores, k)) is not None:
        return found
    order: NDArray[np.intp] = np.argsort(-scores, axis=1, kind="stable")
    return order[:, :k]


def _best_one_by_one(scores: Array, k: int) -> NDArray[np.intp] | None:
    """As `best`, without sorting all classes; `None` for scores that are not finite, or too few."""
    rows, left = np.arange(len(scores)), scores
    found = np.empty((len(scores), min(k, scores.shape[1])), np.intp)
    for place in range(found.shape[1]):
        found[:, place] = left.argmax(axis=1)
        if not np.isfinite(left[rows, found[:, place]]).all():
            return None
        if place + 1 < found.shape[1]:
            left = left.copy() if place == 0 else left
            left[rows, found[:, place]] = -np.inf
    return found


def logits_of(cosine: NDArray[Float], classifier: Classifier) -> NDArray[Float]:
    """Turn cosines `[N, C]` into the logits of a softmax, in the same precision, calibrated if the classifier is."""
    logits: NDArray[Float] = cosine * cosine.dtype.type(classifier.logit_scale)
    return logits if classifier.calibration is None else classifier.calibration.apply(logits)


def _softmax(cosine: Array, classifier: Classifier) -> Array:
    return softmax(logits_of(cosine, classifier))


def _sigmoid(cosine: Array, classifier: Classifier) -> Array:
    logits = cosine * np.float32(classifier.logit_scale) + np.float32(classifier.logit_bias or 0.0)
    # Each form of the sigmoid overflows on one side; exp of a negative number never does.
    power = np.exp(-np.abs(logits))
    probabilities: Array = np.where(logits >= 0, 1 / (1 + power), power / (1 + power)).astype(np.float32)
    return probabilities


_FUNCTIONS: dict[str, Callable[[Array, Classifier], Array]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "cosine": lambda cosine, _: cosine,
}
