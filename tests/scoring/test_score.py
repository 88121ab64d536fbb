"""Scores agree with float64 mathematics, and a kind of score that cannot be is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, softmax

from clipcli.errors import UsageError
from clipcli.scoring.calibration import Calibration, Quality
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.kinds import SCORES
from clipcli.scoring.score import best, choose_score, logits_of, score


def _unit(*shape: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _classifier(
    embeddings: np.ndarray, *, scale: float = 100.0, bias: float | None = None, kind: str = "softmax"
) -> Classifier:
    return Classifier(
        class_embeddings=embeddings.astype(np.float32),
        labels=tuple(f"class {n}" for n in range(len(embeddings))),
        model="test",
        fingerprint="0" * 64,
        prompts="plain",
        precision="fp32",
        logit_scale=scale,
        logit_bias=bias,
        score=kind,
    )


IMAGES, CLASSES = _unit(7, 64, seed=0), _unit(11, 64, seed=1)
COSINE = IMAGES.astype(np.float64) @ CLASSES.astype(np.float64).T


@pytest.mark.parametrize("scale", [1.0, 14.2857, 100.0])
def test_softmax_is_that_of_float64_at_the_models_scale(scale: float) -> None:
    values = score(IMAGES, _classifier(CLASSES, scale=scale), kind="softmax")
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, softmax(COSINE * scale, axis=1), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (117.3, -12.9), (5.0, 0.0)])
def test_sigmoid_is_that_of_float64_with_the_models_bias(scale: float, bias: float) -> None:
    values = score(IMAGES, _classifier(CLASSES, scale=scale, bias=bias), kind="sigmoid")
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expit(COSINE * scale + bias), rtol=1e-4, atol=1e-7)


def test_cosine_is_the_similarity_whatever_the_scale() -> None:
    values = score(IMAGES, _classifier(CLASSES, scale=3.0, bias=7.0), kind="cosine")
    np.testing.assert_allclose(values, COSINE, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"), [("softmax", [[1, 0], [0, 1]]), ("sigmoid", [[1, 0], [0, 1]]), ("cosine", [[1, -1], [-1, 1]])]
)
def test_extreme_logits_overflow_nowhere(kind: str, expected: list[list[float]]) -> None:
    axis = np.array([[1.0], [-1.0]], np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        values = score(axis, _classifier(axis, scale=1e6, bias=0.0), kind=kind)
    np.testing.assert_array_equal(values, np.array(expected, np.float32))


@pytest.mark.parametrize("kind", [kind for kind in SCORES if kind != "auto"])
def test_every_kind_of_score_can_be_computed(kind: str) -> None:
    values = score(IMAGES, _classifier(CLASSES, bias=-10.0), kind=kind)
    assert values.shape == (7, 11)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "cosine"])
def test_a_batch_of_only_bad_images_has_no_scores(kind: str) -> None:
    classifier = _classifier(CLASSES, bias=-10.0)
    assert score(np.empty((0, 64), np.float32), classifier, kind=kind).shape == (0, 11)


def test_auto_is_the_models_own_kind() -> None:
    assert choose_score("auto", _classifier(CLASSES)) == "softmax"
    assert choose_score("auto", _classifier(CLASSES, bias=-10.0, kind="sigmoid")) == "sigmoid"


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "cosine"])
def test_a_kind_that_is_asked_for_is_taken(kind: str) -> None:
    assert choose_score(kind, _classifier(CLASSES, bias=-10.0, kind="sigmoid")) == kind


def test_a_sigmoid_without_a_bias_is_refused() -> None:
    with pytest.raises(UsageError, match="no logit bias"):
        choose_score("sigmoid", _classifier(CLASSES))


def test_the_best_come_first_and_of_equals_the_earlier() -> None:
    values = np.array([[0.1, 0.4, 0.1, 0.4], [0, 0, 0, 0]], np.float32)
    assert best(values, 3).tolist() == [[1, 3, 0], [0, 1, 2]]


@pytest.mark.parametrize("count", [1, 5, 31, 33, 200])
def test_a_row_does_not_depend_on_the_others(count: int) -> None:
    rng = np.random.default_rng(0)
    images, classes = rng.normal(size=(300, 48)).astype(np.float32), rng.normal(size=(11, 48)).astype(np.float32)
    whole = score(images, _classifier(classes), kind="cosine")
    parts = [score(images[n : n + count], _classifier(classes), kind="cosine") for n in range(0, 300, count)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


GOOD = Quality(ece=0.1, ece_low=0.0, ece_high=0.2, top1=0.5, nll=1.0)


@pytest.mark.parametrize("biases", [None, tuple(np.linspace(-2, 2, 11).tolist())])
def test_calibrated_scores_are_those_of_float64(biases: tuple[float, ...] | None) -> None:
    calibration = Calibration(temperature=1.7, biases=biases, images=50, labels=11, before=GOOD, after=GOOD)
    classifier = replace(_classifier(CLASSES, scale=20.0), calibration=calibration)
    expected = COSINE * 20 / 1.7 + (0 if biases is None else np.array(biases))
    np.testing.assert_allclose(score(IMAGES, classifier, kind="softmax"), softmax(expected, axis=1), rtol=1e-4)
    np.testing.assert_allclose(logits_of(COSINE, classifier), expected)
    assert logits_of(COSINE.astype(np.float32), classifier).dtype == np.float32
    np.testing.assert_array_equal(
        score(IMAGES, classifier, kind="cosine"), score(IMAGES, _classifier(CLASSES), kind="cosine")
    )


def test_a_calibrated_classifier_gives_a_softmax_whatever_its_model_gives() -> None:
    calibration = Calibration(temperature=2.0, biases=None, images=50, labels=11, before=GOOD, after=GOOD)
    siglip = _classifier(CLASSES, bias=-10.0, kind="sigmoid")
    assert choose_score("auto", siglip) == "sigmoid"
    assert choose_score("auto", replace(siglip, calibration=calibration)) == "softmax"
    assert choose_score("sigmoid", replace(siglip, calibration=calibration)) == "sigmoid"


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_best_are_those_of_a_stable_sort(k: int) -> None:
    rng = np.random.default_rng(k)
    for scores in (
        rng.standard_normal((40, 9)).astype(np.float32),
        rng.integers(-2, 2, (40, 9)).astype(np.float32) * np.float32(-0.0),
        rng.integers(0, 3, (40, 3)).astype(np.float32),
        np.where(rng.random((40, 9)) < 0.4, np.nan, 1).astype(np.float32),
        np.where(rng.random((40, 9)) < 0.8, -np.inf, 1).astype(np.float32),
        np.empty((0, 4), np.float32),
    ):
        before = scores.copy()
        np.testing.assert_array_equal(best(scores, k), np.argsort(-scores, axis=1, kind="stable")[:, :k])
        np.testing.assert_array_equal(scores, before)
