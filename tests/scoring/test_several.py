"""Several labels an image: the odds of each against the others and common nouns, and the labels over a threshold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from clipcli.data.reference import Reference
from clipcli.errors import UsageError
from clipcli.records import ImageItem, Scores
from clipcli.scoring.calibration import Calibration, Quality
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.several import ODDS, decide_several, several_scores

AXES = np.eye(6, dtype=np.float32)
# An image is at 0.1, 0.2, 0.3 and 0.4 to the nouns: their mean is 0.25, their deviation 0.1118, the rival 0.5295.
NOUNS = AXES[2:]
TWO = Classifier(AXES[:2], ("cat", "dog"), "m", "f", "plain", "fp32", 10.0, None, "softmax", vocabulary=NOUNS)
RIVAL = 0.25 + 2.5 * math.sqrt(0.0125)


def _image(cat: float, dog: float) -> np.ndarray:
    return np.array([[cat, dog, 0.1, 0.2, 0.3, 0.4]], np.float32)


def _score(label: float, *others: float) -> float:
    odds = math.exp(10 * label) / (sum(math.exp(10 * other) for other in others) + 10 * math.exp(10 * RIVAL))
    return odds / (odds + ODDS)


@pytest.mark.parametrize(("cat", "dog"), [(0.6, 0.1), (0.5, 0.5), (0.9, 0.8), (-0.2, 0.0)])
def test_a_label_is_set_against_the_others_and_the_nouns(cat: float, dog: float) -> None:
    [scores] = several_scores(_image(cat, dog), TWO)
    assert scores.tolist() == pytest.approx([_score(cat, dog), _score(dog, cat)], rel=1e-5)


def test_two_labels_may_both_be_over_the_threshold_and_none_may_be() -> None:
    both, neither = several_scores(np.concatenate([_image(0.7, 0.68), _image(0.3, 0.3)]), TWO)
    assert both.tolist() == pytest.approx([0.820, 0.777], abs=1e-3)
    assert neither.tolist() == pytest.approx([0.107, 0.107], abs=1e-3)


def test_one_label_alone_may_be_there_or_not() -> None:
    one = replace(TWO, class_embeddings=AXES[:1], labels=("cat",))
    # The odds are 1 to 12 where the label is as far below ten rivals.
    at_threshold = RIVAL + math.log(10 * ODDS) / 10
    scores = several_scores(np.concatenate([_image(at_threshold, 0), _image(0.9, 0), _image(0, 0)]), one)
    assert scores[:, 0].tolist() == pytest.approx([0.5, _score(0.9), _score(0.0)], abs=1e-5)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(37, 6)).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    together = several_scores(images, TWO)
    assert all(np.array_equal(together[n : n + 1], several_scores(images[n : n + 1], TWO)) for n in range(37))


def test_a_large_logit_scale_does_not_overflow() -> None:
    scores = several_scores(_image(0.9, 0.1), replace(TWO, logit_scale=1e4))
    assert scores.tolist() == [[1.0, 0.0]]


def test_labels_at_the_threshold_or_above_are_given_best_first() -> None:
    entries = tuple(ImageItem(name, Reference("file", name)) for name in "abc")
    values = np.array([[0.5, 0.75, 0.25], [0.25, 0.25, 0.125], [0.75, 0.5, 0.75]], np.float32)
    found = decide_several(Scores(entries, values), at=0.5).decisions
    assert [(one.classes, one.scores, one.all_scores) for one in found] == [
        ((1, 0), (0.75, 0.5), ()),
        ((), (), ()),
        ((0, 2, 1), (0.75, 0.75, 0.5), ()),
    ]
    every = decide_several(Scores(entries, values), at=0.5, every=True).decisions
    assert [one.all_scores for one in every] == [(0.5, 0.75, 0.25), (0.25, 0.25, 0.125), (0.75, 0.5, 0.75)]


def test_refined_and_calibrated_classifiers_are_refused() -> None:
    quality = Quality(ece=0.1, ece_low=0.0, ece_high=0.2, top1=0.5, nll=1.0)
    made = Calibration(temperature=2.0, biases=None, images=50, labels=2, before=quality, after=quality)
    with pytest.raises(UsageError, match="the classifier is calibrated, and several labels are scored by the plain"):
        several_scores(_image(0.6, 0.1), replace(TWO, calibration=made))
    refined = replace(TWO, weights=AXES[:2], biases=np.zeros(2, np.float32), refined_on=300)
    with pytest.raises(UsageError, match="the classifier is refined, and several labels"):
        several_scores(_image(0.6, 0.1), refined)
