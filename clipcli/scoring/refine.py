"""Refines a classifier on the images of a run, without a single label of them.

Each class is a Gaussian around the images that seem to be of it, all with one variance, and the text of its prompts is
the prior: the mixture is fitted by expectation and maximisation, as in TransCLIP (Zanella, Gérin and Ben Ayed 2024)
without its neighbours. The variance is shared, so the log-odds are linear in the embedding, and what is fitted is again
a classifier: weights and a bias a class, that score any image by itself.

Where the images cannot tell the classes apart, a mixture divides one class among many. So a run of few images, one
whose labels are few of the list, and one in which the labels are no more even after than before is left alone. That
the labels become more even is the sign that classes near to all images (hubs: Radovanović et al. 2010) give some back.
So is a run of which two halves would be refined differently (stability: Ben-Hur, Elisseeff and Guyon 2002), as with a
list of wrong labels. And the fit takes no more than a part of the place of the text, the more the more images there
are: what 300 images say is worth less than what 3,000 do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import UsageError
from clipcli.scoring.blocks import blocks
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.softmax import softmax

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

LEAST_IMAGES = 200
# Shares of the classes that the labels are spread over; 1 is an even spread.
_LEAST_SPREAD = 0.55
_LEAST_GAIN = 0.1
# The share of what is missing to an even spread that refining must add.
_LEAST_SHARE = 0.42
# The share of the labels that fits to two halves of the images must agree on.
_LEAST_STABLE = 0.68
# Images of which halves are compared.
_MOST_HALVED = 20_000
# The weight of the fit beside the text with very many images, and how many images make half of that.
_MOST_WEIGHT, _HALF_WEIGHT = 0.85, 500
# What the images say of a class counts by this factor, beside the text: their likelihood is tempered.
_TEMPER = 0.5
_STEPS = 3
# Images by which logits are compared.
_MOST_COMPARED = 4000
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Refinement:
    """What refining came to: the classifier, refined or as it was, and why it was left alone (`reason`).

    `changed` of the `images` get another label by it.
    """

    classifier: Classifier
    images: int
    changed: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Assigned:
    """The labels `[N]` of the images, and for each class its soft count `[C]` and the sum of its images `[C, D]`."""

    labels: NDArray[np.intp]
    counts: Wide
    sums: Wide


def check_refinable(classifier: Classifier) -> None:
    """Raise `UsageError` for a classifier that is refined or adapted already, or calibrated."""
    if classifier.adaptation is not None:
        raise UsageError(
            "the classifier is adapted to corrections, and would forget them; leave --refine away, or give the"
            " classifier it came from"
        )
    if classifier.weights is not None:
        raise UsageError("the classifier is refined already; leave --refine away, or give the classifier it came from")
    if classifier.calibration is not None:
        raise UsageError(
            "the classifier is calibrated, and its calibration would not fit refined scores; refine first, with clipcli"
            " build-classifier --refine-on, and calibrate what that gives"
        )


def becomes_softmax(classifier: Classifier) -> str | None:
    """What to say of a classifier whose scores are another kind once it is refined; `None` if they are not."""
    if classifier.score == "softmax":
        return None
    return f"The scores of {classifier.model} are sigmoids; refined, they are a softmax over the labels."


def refine(embeddings: Array, classifier: Classifier) -> Refinement:
    """Refine a classifier on image embeddings `[N, D]`, L2-normalised, where that promises to help.

    The refined scores are on average as sure as the plain ones: a mixture in many dimensions is far too sure of itself.
    Beyond the embeddings it takes some 30 MB, and `D` × `D` numbers.
    """
    count, classes = len(embeddings), len(classifier.labels)
    if count < LEAST_IMAGES or classes < 2:
        few = f"{count:,} images are fewer than {LEAST_IMAGES}" if classes > 1 else "there is one label alone"
        return Refinement(classifier, count, 0, few)
    texts = np.float32(classifier.logit_scale) * classifier.class_embeddings
    plain = _assign(embeddings, texts, np.zeros(classes, np.float32))
    before = _spread(plain.labels, classes)
    if before < _LEAST_SPREAD:
        return Refinement(classifier, count, 0, "most images have one of a few labels")
    weights, biases, refined = _fit(embeddings, texts, plain)
    if _spread(refined.labels, classes) - before < max(_LEAST_GAIN, _LEAST_SHARE * (1 - before)):
        return Refinement(classifier, count, 0, "the labels are spread about as evenly as refined ones would be")
    if stability(embeddings, texts) < _LEAST_STABLE:
        return Refinement(classifier, count, 0, "two halves of the images would be refined differently")
    weights, biases = _beside_text(embeddings, texts, weights, biases)
    refined = _assign(embeddings, weights, biases)
    scale = _as_sure(embeddings, texts, weights, biases) / classifier.logit_scale
    changed = int((refined.labels != plain.labels).sum())
    better = replace(
        classifier,
        weights=(scale * weights).astype(np.float32),
        biases=(scale * biases).astype(np.float32),
        refined_on=count,
        score="softmax",
    )
    return Refinement(better, count, changed)


def agreement(embeddings: Array, classifier: Classifier) -> float | None:
    """The share of the images `[N, D]` whose label refining would keep; `None` for too few images to tell.

    Prompts that fit the images agree more with what the images have in common: of ten prompt sets the share ranked
    those of Tiny-ImageNet and Caltech-101 as top-1 did (a correlation of 0.99), and those of clothing not at all.
    """
    if len(embeddings) < LEAST_IMAGES or len(classifier.labels) < 2:
        return None
    texts = np.float32(classifier.logit_scale) * classifier.class_embeddings
    plain = _assign(embeddings, texts, np.zeros(len(texts), np.float32))
    return float((_fit(embeddings, texts, plain)[2].labels == plain.labels).mean())


def _fit(embeddings: Array, texts: Array, assigned: _Assigned) -> tuple[Array, Array, _Assigned]:
    """The weights `[C, D]` and biases `[C]` of the logits, and what they assign; `assigned` is where it begins.

    A class moves from its text by its share of the distance of its images from the mean of all: with few images that
    is little. The variance is that within classes, over as many dimensions as it effectively has.
    """
    mean, covariance = _moments(embeddings)
    for _ in range(_STEPS):
        counts = assigned.counts[:, None]
        centres = assigned.sums / np.maximum(counts, 1e-9) - mean
        within = covariance - (centres * counts).T @ centres / len(embeddings)
        variance = max(float(np.trace(within)), 1e-6)
        dimensions = variance**2 / max(float((within**2).sum()), variance**2 / len(within))
        centres *= counts / (counts + 1)
        moves = _TEMPER * dimensions / variance * centres
        biases = (-0.5 * (moves * centres).sum(axis=1) - moves @ mean).astype(np.float32)
        weights = (texts + moves).astype(np.float32)
        assigned = _assign(embeddings, weights, biases)
    return weights, biases, assigned


def _assign(embeddings: Array, weights: Array, biases: Array) -> _Assigned:
    """Assign the images to the classes by the softmax of their logits."""
    labels = np.empty(len(embeddings), np.intp)
    counts, sums = np.zeros(len(weights)), np.zeros(weights.shape)
    for rows in blocks(len(embeddings), width=max(weights.shape)):
        logits = embeddings[rows] @ weights.T + biases
        labels[rows] = logits.argmax(axis=1)
        shares = softmax(logits)
        counts += shares.sum(axis=0, dtype=np.float64)
        sums += shares.T @ embeddings[rows]
    return _Assigned(labels, counts, sums)


def _moments(embeddings: Array) -> tuple[Wide, Wide]:
    """The mean `[D]` and covariance `[D, D]` of the embeddings."""
    count, dimensions = embeddings.shape
    total, products = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    for rows in blocks(count, width=dimensions):
        total += embeddings[rows].sum(axis=0, dtype=np.float64)
        products += embeddings[rows].T @ embeddings[rows]
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def stability(embeddings: Array, texts: Array) -> float:
    """The share of the images `[N, D]` that have the same label by fits to two random halves of them.

    `texts` `[C, D]` are the class embeddings times the logit scale. Of very many images some are enough.
    """
    some = embeddings[np.random.default_rng(0).permutation(len(embeddings))[:_MOST_HALVED]]
    labels = []
    for half in np.array_split(some, 2):
        weights, biases, _ = _fit(half, texts, _assign(half, texts, np.zeros(len(texts), np.float32)))
        labels.append(_assign(some, weights, biases).labels)
    return float((labels[0] == labels[1]).mean())


def _beside_text(embeddings: Array, texts: Array, weights: Array, biases: Array) -> tuple[Array, Array]:
    """The weights and biases of a fit with the text beside it, each by the spread of its logits over the classes."""
    some = _compared(embeddings)
    own, fitted = some @ texts.T, some @ weights.T + biases
    of_text, of_fit = (float((logits - logits.mean(axis=1, keepdims=True)).std()) for logits in (own, fitted))
    share = _MOST_WEIGHT * len(embeddings) / (len(embeddings) + _HALF_WEIGHT)
    kept = (1 - share) / share * of_fit / max(of_text, 1e-9)
    return weights + np.float32(kept) * texts, biases


def _compared(embeddings: Array) -> Array:
    """At most so many of the images, evenly drawn, as are enough to compare logits by."""
    return embeddings[:: -(-len(embeddings) // _MOST_COMPARED)]


def _as_sure(embeddings: Array, texts: Array, weights: Array, biases: Array) -> float:
    """The factor of the refined logits, at most 1, at which their best probability is on average that of plain ones."""
    some = _compared(embeddings)
    wanted = float(softmax(some @ texts.T).max(axis=1).mean())
    logits = some @ weights.T + biases
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_surer = float(softmax(middle * logits).max(axis=1).mean()) > wanted
        low, high = (low, middle) if is_surer else (middle, high)
    return high


def _spread(labels: NDArray[np.intp], classes: int) -> float:
    """The share of the classes over which the labels are spread: the exponential of their entropy, by the classes."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()) / classes)
