"""Scores of labels of which an image may have several, or none, without labelled images to set a threshold by.

A softmax shares one image among the labels, so that each label lowers the others and one of them always wins; a cosine
has no threshold that fits all images, labels and models. Here each label is set against two rivals at once: the other
labels, as in a softmax, and about 1,200 common nouns, which are there even where no label fits. With `e` for the
exponential of a cosine times the logit scale, a label's odds are

    e of the label / (e of the other labels, summed + 10 × e of what is 2.5 standard deviations above the mean noun)

and its score is 0.5 at odds of 1 to 12, nearer to 1 above, nearer to 0 below. Mean and deviation are those of the
cosines of all nouns to the image, so that both rivals move with the image and with the model.

That generic words tell what an image scores anyway is from ZOC (Esmaeilpour et al. 2022). Their mean and deviation
serve better than those nouns that are nearest: these may be kinds of what a label names, as `pizza` is of `food`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import UsageError
from clipcli.records import Decided, Decision, Scores
from clipcli.scoring.classifier import Classifier, words_of
from clipcli.scoring.kinds import THRESHOLD
from clipcli.scoring.score import best

Array = NDArray[np.float32]

# The odds at which a score is 0.5, the threshold by default.
ODDS = 1 / 12
# How many standard deviations above the mean noun the rival stands, and for how many labels.
DEVIATIONS, WEIGHT = 2.5, 10


def check_plain(classifier: Classifier) -> None:
    """Raise `UsageError` for a classifier that was refined, adapted or calibrated: several labels are scored plain."""
    made = "calibrated" if classifier.calibration is not None else None
    if classifier.weights is not None:
        made = "refined" if classifier.adaptation is None else "adapted"
    if made is not None:
        raise UsageError(
            f"the classifier is {made}, and several labels are scored by the plain class embeddings; give the"
            f" classifier that was {made}, or drop --multi-label"
        )


def several_scores(embeddings: Array, classifier: Classifier) -> Array:
    """Scores `[N, C]` float32, from 0 to 1, of image embeddings `[N, D]` against the classes, each by itself.

    The classifier must have a vocabulary. Sums are in float64, so that a row does not depend on the rows beside it.
    Where it is calibrated for several labels, scores are probabilities. Raises `UsageError` for one without, and as
    `check_plain`.
    """
    if classifier.several is not None:
        return classifier.several.apply(log_odds(embeddings, classifier)).astype(np.float32)
    logits, rivals = _with_rivals(embeddings, classifier)
    powers = np.exp(logits)
    scores: Array = (powers / (powers + ODDS * rivals)).astype(np.float32)
    return scores


def log_odds(embeddings: Array, classifier: Classifier) -> NDArray[np.float64]:
    """The log-odds `[N, C]` of what `several_scores` gives without a calibration. Raises as that."""
    logits, rivals = _with_rivals(embeddings, classifier)
    found: NDArray[np.float64] = logits - np.log(np.maximum(ODDS * rivals, np.finfo(np.float64).tiny))
    return found


def threshold_of(classifier: Classifier) -> float:
    """The score from which on an image has a label, unless the user says so otherwise."""
    return THRESHOLD if classifier.several is None else classifier.several.threshold


def _with_rivals(embeddings: Array, classifier: Classifier) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The logits `[N, C]`, the highest of all 0, and the sums `[N, C]` of the exponentials of each label's rivals."""
    check_plain(classifier)
    images = embeddings.astype(np.float64)
    logits = classifier.logit_scale * (images @ classifier.class_embeddings.astype(np.float64).T)
    of_nouns = classifier.logit_scale * (images @ words_of(classifier).astype(np.float64).T)
    rival = of_nouns.mean(axis=1, keepdims=True) + DEVIATIONS * of_nouns.std(axis=1, keepdims=True)
    highest = np.maximum(logits.max(axis=1, keepdims=True), rival)
    powers = np.exp(logits - highest)
    others = np.maximum(powers.sum(axis=1, keepdims=True) - powers, 0) + WEIGHT * np.exp(rival - highest)
    return logits - highest, others


def decide_several(scores: Scores, *, at: float, every: bool = False) -> Decided:
    """Choose all classes of each image whose scores are `at` or above, best first; of equal ones the earlier class.

    With `every`, a decision holds the scores of all classes as well.
    """
    order = best(scores.values, scores.values.shape[1])
    decisions = []
    for ranked, values in zip(order, scores.values, strict=True):
        chosen = [int(n) for n in ranked if values[n] >= at]
        all_scores = tuple(map(float, values)) if every else ()
        decisions.append(Decision(tuple(chosen), tuple(float(values[n]) for n in chosen), all_scores))
    return Decided(scores.entries, tuple(decisions))
