"""Scores of several labels become probabilities with a threshold, where labelled images say that it helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

import clipcli
from clipcli.errors import BadFile
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.several import log_odds, several_scores, threshold_of
from clipcli.scoring.several_calibration import SeveralCalibration, best_threshold, calibrate_several, fit
from clipcli.scoring.softmax import sigmoid

Array = np.ndarray
FOUND = SeveralCalibration(1.5, (0.5, -1.0), True, 0.3, 50, 0.4, 0.6)


def drawn(count: int, biases: Array, *, slope: float = 1.0, seed: int = 0) -> tuple[Array, Array]:
    """Log-odds of images, and labels that are true by `slope × log-odds + biases`."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 2, (count, len(biases)))
    return found, rng.random(found.shape) < 1 / (1 + np.exp(-(slope * found + biases)))


def classifier_of() -> Classifier:
    """Two classes and a vocabulary of three words."""
    embeddings = np.eye(5, dtype=np.float32)
    return Classifier(
        class_embeddings=embeddings[:2],
        labels=("cat", "dog"),
        model="none",
        fingerprint="0" * 64,
        prompts="plain",
        precision="fp32",
        logit_scale=10.0,
        logit_bias=None,
        score="softmax",
        vocabulary=embeddings[2:],
    )


def test_a_slope_and_a_common_bias_are_those_of_a_logistic_regression() -> None:
    found, truth = drawn(3000, np.full(4, -1.5), slope=0.6)
    slope, biases = fit(found, truth, own_biases=False)
    # With so many pairs priors weigh nothing.
    oracle = LogisticRegression(C=np.inf).fit(found.reshape(-1, 1), truth.ravel())
    assert slope == pytest.approx(float(oracle.coef_[0, 0]), abs=0.01)
    assert biases == pytest.approx(np.full(4, float(oracle.intercept_[0])), abs=0.01)


def test_each_label_has_a_bias_of_its_own_where_that_fits_better() -> None:
    biases = np.array([2.0, -3.0, 0.0])
    calibration = calibrate_several(*drawn(300, biases))
    assert calibration.own_biases
    assert calibration.biases == pytest.approx(biases, abs=0.6)
    assert calibration.after > calibration.before + 0.05


def test_labels_that_are_alike_share_one_bias() -> None:
    calibration = calibrate_several(*drawn(300, np.full(6, -3.0)))
    assert not calibration.own_biases
    assert calibration.biases is not None
    assert len(set(calibration.biases)) == 1
    assert calibration.biases[0] == pytest.approx(-3, abs=0.5)


def test_scores_that_are_good_already_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((100, 5)) < 0.3
    calibration = calibrate_several(np.where(truth, 3.0, -3.0) + rng.normal(0, 0.1, truth.shape), truth)
    assert calibration.changes_nothing
    assert (calibration.slope, calibration.threshold, calibration.after) == (1, 0.5, 1)


def test_what_is_after_is_of_images_that_were_not_fitted() -> None:
    rng = np.random.default_rng(1)
    noise, truth = rng.normal(0, 2, (40, 8)), rng.random((40, 8)) < 0.5
    calibration = calibrate_several(noise, truth)
    # Labels that nothing tells: the best is to give each, of which half are right.
    assert calibration.after == pytest.approx(2 / 3, abs=0.06)


def test_the_threshold_has_the_highest_expected_f1() -> None:
    probabilities = np.array([[0.9, 0.4], [0.35, 0.1]])
    # Giving the first k: 2·0.9/(1+1.75), 2·1.3/(2+1.75), 2·1.65/(3+1.75), 2·1.75/(4+1.75).
    assert best_threshold(probabilities) == 0.35


def test_gradients_are_those_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def spy(loss: object, begin: Array, **_: object) -> object:
        seen["error"] = check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], begin + 0.3)
        return type("Found", (), {"x": begin})

    monkeypatch.setattr("scipy.optimize.minimize", spy)
    for own_biases in (False, True):
        fit(*drawn(20, np.array([1.0, -1.0])), own_biases=own_biases)
        assert seen["error"] < 1e-3


def test_the_same_images_give_the_same() -> None:
    images = drawn(60, np.array([2.0, -3.0, 0.0]))
    assert calibrate_several(*images) == calibrate_several(*images)


def test_scores_are_probabilities_by_it_and_the_threshold_is_its_own() -> None:
    images = np.array([[0.9, 0.1, 0.3, 0.2, 0.1]], np.float32)
    plain, made = classifier_of(), replace(classifier_of(), several=FOUND)
    assert 1 / (1 + np.exp(-log_odds(images, plain))) == pytest.approx(several_scores(images, plain), abs=1e-6)
    expected = 1 / (1 + np.exp(-(1.5 * log_odds(images, plain) + [0.5, -1.0])))
    assert several_scores(images, made) == pytest.approx(expected, abs=1e-6)
    assert (threshold_of(plain), threshold_of(made)) == (0.5, 0.3)


def test_it_is_kept_in_the_classifiers_file(tmp_path: Path) -> None:
    made = replace(classifier_of(), several=FOUND)
    made.save(tmp_path / "made.safetensors")
    assert clipcli.Classifier.load(tmp_path / "made.safetensors").several == FOUND
    assert made.in_words() == "calibrated for several labels: threshold 0.30, by 50 labelled images"


@pytest.mark.parametrize("change", [{"biases": (1.0,)}, {"slope": 0.0}, {"threshold": 0.0}])
def test_a_file_whose_calibration_does_not_fit_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    replace(classifier_of(), several=replace(FOUND, **change)).save(tmp_path / "made.safetensors")
    with pytest.raises(BadFile, match="its calibration for several labels does not fit"):
        clipcli.Classifier.load(tmp_path / "made.safetensors")


def test_log_odds_do_not_overflow() -> None:
    images = np.array([[1, 0, -1, -1, -1]], np.float32)
    made = replace(classifier_of(), several=FOUND, logit_scale=1e4)
    assert np.isfinite(log_odds(images, made)).all()
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0, 1]
