"""How sure it is that an image is none of the classes, without a single labelled image.

The classes compete with the generic vocabulary, as in NegLabel (Jiang et al. 2024), and an image's cosines to its words
are the null distribution that those to the classes are measured by: both are standardised by the mean and the standard
deviation over the words. So the figures do not depend on a model's logit scale, nor on the gap between its images and
texts, and fit sigmoid models too. The match of an image with C classes is

    log sum(exp(2 z)) over the classes - 1.2 log C - 1/2 log mean(exp(2 z)) over classes and words,

half way between the energy of the classes (Liu et al. 2020) and NegLabel's share. The second term is there because one
of many classes is easily near by chance. The third takes words that are nearer than every class as a sign of another
thing, and only half of it, since a word may be a kind of a class, as `dog` is of `animal`. A logistic curve makes a
score from 0 to 1 of the match. Its two constants, the 1.2 and the default threshold come from the training photos of
Caltech-101 alone, with 1 to 60 of its 101 classes listed; `benchmarks/scores/unknown.py` fits them again, and prints
how they do on other photos.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipcli.records import Decided, Decision
from clipcli.scoring.classifier import Classifier, words_of
from clipcli.scoring.kinds import UNKNOWN_AT, UNKNOWN_AT_ALONE
from clipcli.scoring.softmax import sigmoid

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
# The sharpness of standardised cosines, the weight of the number of classes, and that of all texts.
_SHARPNESS, _CROWD, _WORDS = 2.0, 1.2, 0.5
# The match at which an image of a class is as likely as one of none, and the slope of the curve there.
_EVEN, _SLOPE = 1.05, 0.69


def unknown_scores(embeddings: Float32Array, classifier: Classifier) -> Float32Array:
    """How sure it is that each of the images `[N, D]` is of no class: `[N]`, from 0 to 1.

    A half is where an image of a class and one of none are as likely, if half of the images are of none. Raises
    `UsageError` for a classifier without a vocabulary.
    """
    vocabulary = words_of(classifier)
    images = embeddings.astype(np.float64)
    words = images @ vocabulary.astype(np.float64).T
    classes = images @ classifier.class_embeddings.astype(np.float64).T
    return sigmoid(-_SLOPE * (match(classes, words) - _EVEN)).astype(np.float32)


def match(classes: Float64Array, words: Float64Array) -> Float64Array:
    """How well classes fit images `[N]`: of the cosines to the classes `[N, C]` and to the words `[N, V]`."""
    count = classes.shape[1]
    middle, width = words.mean(axis=1, keepdims=True), words.std(axis=1, keepdims=True)
    both = np.concatenate([classes, words], axis=1) - middle
    both *= _SHARPNESS / np.maximum(width, np.finfo(np.float32).tiny)
    of_classes = _log_mean_exp(both[:, :count]) - (_CROWD - 1) * np.log(count)
    found: Float64Array = of_classes - _WORDS * _log_mean_exp(both)
    return found


def default_threshold(classifier: Classifier) -> float:
    """The score from which on an image is unknown, unless the user says so: what images of none taught, if any did."""
    for taught in (classifier.calibration, classifier.adaptation):
        if taught is not None and taught.unknown_at is not None:
            return taught.unknown_at
    return UNKNOWN_AT_ALONE if len(classifier.labels) == 1 else UNKNOWN_AT


def learned_threshold(of_none: Float32Array, of_classes: Float32Array, *, default: float) -> float:
    """The unknown score from which on an image is unknown, by scores `[N]` of images of no class and `[M]` of classes.

    Most likely a posteriori on the scale of log-odds, with a normal prior of width 1 around the default. Images of
    classes weigh as much as those of none together, as far as there are enough of them.
    """
    from scipy.optimize import minimize_scalar

    below, above = _log_odds(of_classes), _log_odds(of_none)
    weight = min(1.0, len(above) / max(1, len(below)))
    middle = float(_log_odds(np.array([default]))[0])

    def loss(at: float) -> float:
        wrong = np.logaddexp(0, at - above).sum() + weight * np.logaddexp(0, below - at).sum()
        return float(wrong + (at - middle) ** 2 / 2)

    found = minimize_scalar(loss, bounds=(middle - 10, middle + 10), method="bounded").x
    return round(float(1 / (1 + np.exp(-found))), 4)


def with_unknown(
    decided: Decided, scores: Float32Array, *, at: float, index: int, top_k: int, alone: bool = False
) -> Decided:
    """Put `index`, that of the name behind the classes, first in the decision about each image that is unknown.

    `scores` `[N]` are those of `unknown_scores`; an image is unknown from `at` on. A decision keeps at most `top_k`
    labels. With one class `alone` its softmax is 1 whatever an image shows: its score becomes what is left of 1.
    """
    decisions = []
    for decision, score in zip(decided.decisions, map(float, scores), strict=True):
        classes, values = decision.classes, (1 - score,) if alone else decision.scores
        if score >= at:
            classes, values = (index, *classes)[:top_k], (score, *values)[:top_k]
        decisions.append(Decision(classes, values))
    return Decided(decided.entries, tuple(decisions))


def _log_mean_exp(values: Float64Array) -> Float64Array:
    highest = values.max(axis=1, keepdims=True)
    means: Float64Array = np.log(np.exp(values - highest).mean(axis=1)) + highest[:, 0]
    return means


def _log_odds(scores: NDArray[np.floating]) -> Float64Array:
    inside = np.clip(scores.astype(np.float64), 1e-9, 1 - 1e-9)
    odds: Float64Array = np.log(inside) - np.log1p(-inside)
    return odds
