"""Adapts a classifier to a few images whose classes a person has told.

Each class begins at its text. The class of an image with embedding `x` is told by the logits

    trust · scale · x · text + v · z - 1/2 · spread · |v|²,    z = the embedding, centred and whitened,

in which `v` is zero for a class without corrections, and else what makes the corrections most likely, with a normal
prior around 0, the text. So far that is the regression held near the text of CLAP (Silva-Rodríguez et al. 2024). The
whitening is by the covariance within classes, shrunk to a sphere (Kubokawa and Srivastava 2008), as in the Gaussian
discriminant of Wang et al. (2024). The last term is that of a Gaussian: on images of other classes the evidence for a
class is 1 on average, so that a corrected class does not draw the images of those that have no correction.

The trust in the text is 1, and the prior narrow: narrower where a class has no correction, as what corrected classes
gain is then taken from it. Where each class has two corrections or more, and cross-validation finds less trust and a
wider prior more likely, it is those. It chooses a factor of all logits as well, so that scores are true. Where a class
has one correction, nothing can be held out. Images of unknown classes then tell if corrections label better than texts
do, as two labellers whose errors are independent agree on the product of their accuracies (as Dawid and Skene 1979 tell
the errors of labellers). All is linear in the embedding: weights and a bias a class, as a refined classifier has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.scoring.adaptation import Accuracy
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.intervals import bootstrap, difference, mean_of, wilson
from clipcli.scoring.softmax import log_loss, softmax

Wide = NDArray[np.float64]
Places = NDArray[np.intp]

# The trust in the text and the precision of the prior: where some classes have no correction, where all have one, and
# those that cross-validation may choose instead.
_SOME_CLASSES, _ALL_CLASSES = (1.0, 200.0), (1.0, 100.0)
_LESS_TRUST = ((0.5, 30.0), (0.25, 30.0))
# By so much corrections must label better than texts to be trusted more, and the factor of all logits if they are.
_BETTER_BY, _SCALE_OF_FEW = 1.1, 2.0
# The cosine from which on two images are one.
_ONE_IMAGE = 0.9999
# The variance that other classes' images have once those of a class have 1.
_SPREAD = 30.0
# Factors of the logits, by which scores are as sure as they may be.
_SCALES = np.geomspace(0.5, 8.0, 17)
_FOLDS = 5
# Corrections of a class that a lower trust needs, and those that are held out at most.
_LEAST_OF_A_CLASS = 2
_MOST_HELD_OUT = 1000
# Images held out that an accuracy is told of.
_LEAST_HELD_OUT = 10
_MOST_STEPS = 30
_PRECISION = 1e-4
# Where nothing is known of it, the variance of embeddings around their mean, and the images that this counts as.
_VARIANCE, _COUNTS_AS = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """The weights `[C, D]` and biases `[C]` of logits; those of a class without images are its text times `trust`.

    `prior` is the precision of the prior around the text.
    """

    weights: Wide
    biases: Wide
    trust: float
    prior: float

    def logits(self, embeddings: NDArray[np.float64]) -> Wide:
        """Logits `[N, C]` of embeddings `[N, D]`."""
        found: Wide = embeddings @ self.weights.T + self.biases
        return found

    def times(self, factor: float) -> Fitted:
        """The same with all logits times a factor, which changes scores and no label."""
        return Fitted(factor * self.weights, factor * self.biases, factor * self.trust, self.prior)


def needs_others(truth: Places, classes: int) -> bool:
    """True if images of unknown classes can tell something: each class has a correction, and some have one alone."""
    return bool(np.bincount(truth, minlength=classes).min() == 1)


def adapted(
    embeddings: NDArray[np.float32],
    truth: Places,
    classifier: Classifier,
    *,
    others: NDArray[np.float32] | None = None,
) -> tuple[Fitted, Accuracy | None]:
    """Adapt to image embeddings `[N, D]`, L2-normalised, of the classes `[N]`; one image or more.

    `others` `[M, D]` are images of unknown classes. Returns what was fitted, and the accuracy by cross-validation:
    `None` if fewer than ten images can be held out, or if it was the others that told how far to trust the text.
    """
    images, texts = embeddings.astype(np.float64), classifier.logit_scale * classifier.class_embeddings.astype(float)
    folds = _folds(truth)
    kept = folds >= 0
    counts = np.bincount(truth, minlength=len(texts))
    first = _ALL_CLASSES if counts.min() > 0 else _SOME_CLASSES
    if others is not None and needs_others(truth, len(texts)) and _are_better(images, truth, texts, others):
        trust, prior = _LESS_TRUST[-1]
        return fit(images, truth, texts, trust=trust, prior=prior).times(_SCALE_OF_FEW), None
    if int(kept.sum()) < _LEAST_HELD_OUT:
        return fit(images, truth, texts, trust=first[0], prior=first[1]), None
    lowest, best, scale, held_out = np.inf, first, 1.0, np.empty(0)
    for trust, prior in (first, *(_LESS_TRUST if counts.min() >= _LEAST_OF_A_CLASS else ())):
        logits = _held_out(images, truth, texts, folds, trust=trust, prior=prior)
        losses = [float(log_loss(factor * logits, truth[kept]).mean()) for factor in _SCALES]
        if min(losses) >= lowest:
            break
        lowest, best, scale, held_out = min(losses), (trust, prior), float(_SCALES[np.argmin(losses)]), logits
    accuracy = _accuracy(images[kept] @ texts.T, held_out, truth[kept])
    return fit(images, truth, texts, trust=best[0], prior=best[1]).times(scale), accuracy


def fit(images: Wide, truth: Places, texts: Wide, *, trust: float, prior: float) -> Fitted:
    """Fit to images `[N, D]` of the classes `[N]`; `texts` `[C, D]` are class embeddings times the logit scale.

    `prior` is the precision of the prior. The steps are in single precision, which is twice as fast.
    """
    from scipy.optimize import minimize

    mean, whiten = _whitening(images, truth)
    # Only the span of the images matters, which for a few is small.
    basis, triangle = np.linalg.qr(((images - mean) @ whiten).T)
    points, plain = triangle.T.astype(np.float32), (trust * images @ texts.T).astype(np.float32)
    present, own = np.unique(truth, return_inverse=True)
    rows = np.arange(len(truth))

    def loss(values: Wide) -> tuple[float, Wide]:
        """The negative log of the posterior and its gradient."""
        moves = values.reshape(len(present), -1).astype(np.float32)
        logits = plain.copy()
        logits[:, present] += points @ moves.T - np.float32(_SPREAD / 2) * (moves**2).sum(axis=1)
        shares = softmax(logits)
        likelihood = np.log(np.maximum(shares[rows, truth], np.finfo(np.float32).tiny)).sum()
        errors = shares[:, present]
        errors[rows, own] -= 1
        gradient = errors.T @ points + (prior - _SPREAD * errors.sum(axis=0))[:, None] * moves
        return float(prior / 2 * (values**2).sum() - likelihood), gradient.ravel().astype(np.float64)

    begin = np.zeros(len(present) * points.shape[1])
    options = {"ftol": _PRECISION, "maxiter": _MOST_STEPS}
    moves = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x.reshape(len(present), -1)
    weights, biases = trust * texts, np.zeros(len(texts))
    steps = moves @ basis.T @ whiten
    weights[present] += steps
    biases[present] = -steps @ mean - _SPREAD / 2 * (moves**2).sum(axis=1)
    return Fitted(weights, biases, trust, prior)


def _are_better(images: Wide, truth: Places, texts: Wide, others: NDArray[np.float32]) -> bool:
    """True if by other images `[M, D]` corrections label better than texts, however good these may be."""
    apart = others[(others @ images.T).max(axis=1) < _ONE_IMAGE].astype(np.float64)
    if not len(apart):
        return False
    mean = images.mean(axis=0)
    centres = np.array([images[truth == n].mean(axis=0) for n in range(len(texts))]) - mean
    norms = np.maximum(np.linalg.norm(centres, axis=1), np.finfo(float).tiny)
    by_image = ((apart - mean) @ centres.T / norms).argmax(axis=1)
    agree = float((by_image == (apart @ texts.T).argmax(axis=1)).mean())
    right = int(((images @ texts.T).argmax(axis=1) == truth).sum())
    at_most = wilson(right, len(truth))[1]
    return agree >= _BETTER_BY * at_most**2


def _whitening(images: Wide, truth: Places) -> tuple[Wide, Wide]:
    """The mean `[D]` over classes, and the matrix `[D, D]` that makes the covariance within classes, shrunk, even."""
    count, dimensions = images.shape
    present, own, sizes = np.unique(truth, return_inverse=True, return_counts=True)
    sums = np.zeros((len(present), dimensions))
    np.add.at(sums, own, images)
    centres = sums / sizes[:, None]
    within = images - centres[own]
    scatter = within.T @ within
    degrees = count - len(present)
    total = ((images - images.mean(axis=0)) ** 2).sum() / (count - 1) if count > 1 else _VARIANCE
    variance = (np.trace(scatter) + _COUNTS_AS * max(float(total), _VARIANCE)) / (degrees + _COUNTS_AS)
    covariance = (scatter + variance * np.eye(dimensions)) / (degrees + dimensions)
    values, vectors = np.linalg.eigh(covariance)
    return centres.mean(axis=0), (vectors / np.sqrt(values)) @ vectors.T


def _folds(truth: Places) -> Places:
    """The fold `[N]` of each image, those of a class in different ones; -1 for those beyond 1,000, never held out."""
    shuffled = np.random.default_rng(0).permutation(len(truth))
    by_class = shuffled[np.argsort(truth[shuffled], kind="stable")]
    folds = np.empty(len(truth), np.intp)
    folds[by_class] = np.arange(len(truth)) % _FOLDS
    folds[shuffled[_MOST_HELD_OUT:]] = -1
    return folds


def _held_out(images: Wide, truth: Places, texts: Wide, folds: Places, *, trust: float, prior: float) -> Wide:
    """Logits of the images in folds, each by what was fitted to the others."""
    logits = np.empty((len(truth), len(texts)))
    for fold in range(folds.max() + 1):
        out, rest = folds == fold, folds != fold
        if out.any():
            logits[out] = fit(images[rest], truth[rest], texts, trust=trust, prior=prior).logits(images[out])
    return logits[folds >= 0]


def _accuracy(plain: Wide, held_out: Wide, truth: Places) -> Accuracy:
    right = {name: (one.argmax(axis=1) == truth) for name, one in (("before", plain), ("after", held_out))}
    found = bootstrap({name: mean_of(one) for name, one in right.items()}, count=len(truth))
    gain = difference(found["after"], found["before"], paired=True)
    before, after = found["before"].value, found["after"].value
    return Accuracy(before=before, after=after, gain=gain.value, low=gain.low, high=gain.high)
