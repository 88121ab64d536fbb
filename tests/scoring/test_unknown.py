"""Scores of images that are none of the classes: the right values, and what decides them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcli.errors import BadFile, UsageError
from clipcli.records import Decided, Decision, ImageItem, Reference
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.unknown import default_threshold, learned_threshold, match, unknown_scores, with_unknown

_EYE = np.eye(6, dtype=np.float32)
CLASSIFIER = Classifier(
    class_embeddings=_EYE[:2],
    labels=("cat", "dog"),
    model="m",
    fingerprint="0f",
    prompts="plain",
    precision="fp32",
    logit_scale=100.0,
    logit_bias=None,
    score="softmax",
    vocabulary=_EYE[2:],
)


def _image(*cosines: float) -> np.ndarray:
    return np.array([cosines], dtype=np.float32)


def test_the_match_is_as_it_is_written() -> None:
    # The words have a mean of 0 and a standard deviation of 1: cosines are standardised already.
    found = match(np.array([[3.0, 1.0]]), np.array([[1.0, -1.0, 1.0, -1.0]]))

    classes = math.log(math.exp(6) + math.exp(2)) - 1.2 * math.log(2)
    both = math.log((math.exp(6) + math.exp(2) + 2 * math.exp(2) + 2 * math.exp(-2)) / 6)
    assert found[0] == pytest.approx(classes - both / 2)


def test_the_score_is_the_logistic_of_the_match() -> None:
    image = _image(0.3, 0.1, 0.1, -0.1, 0.1, -0.1)

    matched = match(np.array([[3.0, 1.0]]), np.array([[1.0, -1.0, 1.0, -1.0]]))[0]
    assert unknown_scores(image, CLASSIFIER)[0] == pytest.approx(1 / (1 + math.exp(0.69 * (matched - 1.05))), abs=1e-5)


def test_an_image_near_a_word_is_unknown_and_one_near_a_class_is_not() -> None:
    near_class, near_word, near_both = unknown_scores(
        np.concatenate([_image(0.9, 0, 0.1, 0, -0.1, 0), _image(0, 0, 0.9, 0, 0.1, 0), _image(0.9, 0, 0.9, 0, 0.1, 0)]),
        CLASSIFIER,
    )

    assert near_class < 0.01
    assert near_word > 0.8
    assert near_class < near_both < 0.5


@pytest.mark.parametrize("other", [{"logit_scale": 10.0}, {"score": "sigmoid", "logit_bias": -10.0}])
def test_neither_the_scale_nor_the_kind_of_score_nor_a_gap_matters(other: dict[str, object]) -> None:
    image = _image(0.3, 0.1, 0.1, -0.1, 0.1, -0.1)
    expected = unknown_scores(image, CLASSIFIER)

    np.testing.assert_array_equal(unknown_scores(image, replace(CLASSIFIER, **other)), expected)  # type: ignore[arg-type]
    np.testing.assert_allclose(unknown_scores(0.2 * image + 0.3, CLASSIFIER), expected, rtol=1e-5)


def test_an_image_as_near_to_all_words_has_a_score() -> None:
    assert np.isfinite(unknown_scores(_image(0, 0, 0, 0, 0, 0), CLASSIFIER)).all()
    assert np.isfinite(unknown_scores(_image(1, 0, 0, 0, 0, 0), CLASSIFIER)).all()


def test_without_words_nothing_can_be_unknown() -> None:
    with pytest.raises(UsageError, match=r"no common words to compare with; .* build-classifier --vocabulary"):
        unknown_scores(_EYE[:1], replace(CLASSIFIER, vocabulary=None))


def test_one_class_alone_is_a_question_of_yes_or_no() -> None:
    assert default_threshold(CLASSIFIER) == 0.8
    assert default_threshold(replace(CLASSIFIER, labels=("cat",), class_embeddings=_EYE[:1])) == 0.5


def _decided(*decisions: Decision) -> Decided:
    return Decided(tuple(ImageItem(str(n), Reference("file", str(n))) for n in range(len(decisions))), decisions)


def test_the_label_of_unknown_images_comes_first_and_the_best_label_second() -> None:
    decided = _decided(Decision((1, 0), (0.7, 0.3)), Decision((0, 1), (0.6, 0.4)), Decision((0, 1), (0.9, 0.1)))

    found = with_unknown(decided, np.array([0.9, 0.5, 0.25], dtype=np.float32), at=0.5, index=2, top_k=2)

    assert found.decisions == (
        Decision((2, 1), (pytest.approx(0.9), 0.7)),
        Decision((2, 0), (0.5, 0.6)),
        Decision((0, 1), (0.9, 0.1)),
    )
    assert found.entries == decided.entries


def test_one_class_alone_has_what_is_left_of_one() -> None:
    decided = _decided(Decision((0,), (1.0,)), Decision((0,), (1.0,)))

    found = with_unknown(decided, np.array([0.75, 0.25], dtype=np.float32), at=0.5, index=1, top_k=2, alone=True)

    assert found.decisions == (Decision((1, 0), (0.75, 0.25)), Decision((0,), (0.75,)))


def test_a_file_holds_the_words_and_its_digest_is_of_them(tmp_path: Path) -> None:
    CLASSIFIER.save(tmp_path / "x")
    loaded = Classifier.load(tmp_path / "x")

    assert loaded.vocabulary is not None
    np.testing.assert_array_equal(loaded.vocabulary, _EYE[2:])
    assert loaded.digest() == CLASSIFIER.digest()
    others = {replace(CLASSIFIER, vocabulary=words).digest() for words in (None, _EYE[3:], _EYE[2:])}
    assert len(others) == 3


def test_words_of_another_size_are_refused(tmp_path: Path) -> None:
    replace(CLASSIFIER, vocabulary=_EYE[2:, :3]).save(tmp_path / "x")
    with pytest.raises(BadFile, match="its vocabulary does not fit; make it anew with clipcli build-classifier"):
        Classifier.load(tmp_path / "x")


def test_a_threshold_lies_between_the_images_that_taught_it() -> None:
    none, known = np.full(40, 0.6, np.float32), np.full(40, 0.2, np.float32)
    assert 0.25 < learned_threshold(none, known, default=0.8) < 0.5
    assert learned_threshold(none, known, default=0.8) < learned_threshold(none[:2], known, default=0.8) < 0.8
    # Images of classes that seemed unknown put it up.
    assert learned_threshold(none + 0.35, known + 0.7, default=0.8) > 0.85


def test_one_image_moves_a_threshold_little() -> None:
    assert learned_threshold(np.array([0.7], np.float32), np.empty(0, np.float32), default=0.8) == pytest.approx(
        0.73, abs=0.03
    )
