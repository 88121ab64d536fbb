"""A calibration is found in made logits of which it is known, and left alone where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from clipcli.scoring import calibration
from clipcli.scoring.calibration import Calibration, Quality, calibration_of, fit, quality

Array = NDArray[np.float64]
CLASSES = 6


def drawn(count: int, *, temperature: float = 1.0, biases: Array | None = None, seed: int = 0) -> tuple[Array, Array]:
    """Logits `[N, 6]`, and classes drawn with the probabilities of these, calibrated so."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, CLASSES)) * 2
    calibrated = logits / temperature + (0 if biases is None else biases)
    # The maximum of logits with Gumbel noise is a draw of their softmax.
    return logits, (calibrated + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_is_found(temperature: float) -> None:
    logits, truth = drawn(5000, temperature=temperature)
    assert fit(logits, truth, with_biases=False) == (pytest.approx(temperature, rel=0.06), None)


def test_biases_are_found() -> None:
    biases = np.array([1.5, -1.0, 0.5, 0.0, -0.5, -0.5])
    logits, truth = drawn(5000, temperature=2.0, biases=biases)
    temperature, found = fit(logits, truth, with_biases=True)
    assert found is not None
    assert temperature == pytest.approx(2.0, rel=0.06)
    # They are known but for a number that all share.
    np.testing.assert_allclose(found - found.mean(), biases - biases.mean(), atol=0.15)


def test_it_is_most_likely_a_posteriori() -> None:
    logits, truth = drawn(60, temperature=2.0, biases=np.array([1.0, 0, 0, 0, 0, -1.0]))
    temperature, biases = fit(logits, truth, with_biases=True)
    assert biases is not None

    def cost(log_temperature: float, biases: Array) -> float:
        chances = log_softmax(logits / np.exp(log_temperature) + biases, axis=1)
        prior = log_temperature**2 / (2 * 0.3**2) + (biases**2).sum() / 2
        return float(prior - chances[np.arange(60), truth].sum())

    least = cost(np.log(temperature), biases)
    for step in (-0.05, 0.05):
        assert cost(np.log(temperature) + step, biases) > least
        # A class with too few images has no bias.
        free = np.eye(CLASSES)[biases != 0]
        assert all(cost(np.log(temperature), biases + step * one) > least for one in free)


def test_the_prior_weighs_less_with_more_labels() -> None:
    found = [fit(*drawn(count, temperature=3.0), with_biases=False)[0] for count in (20, 100, 5000)]
    assert 1 < found[0] < found[1] < found[2] == pytest.approx(3.0, rel=0.06)


def test_where_the_search_begins_makes_no_difference() -> None:
    logits, truth = drawn(100, temperature=2.0)
    elsewhere = fit(logits, truth, with_biases=True, start=(0.3, np.full(CLASSES, 2.0)))
    here = fit(logits, truth, with_biases=True)
    assert elsewhere[0] == pytest.approx(here[0], rel=1e-2)
    np.testing.assert_allclose(elsewhere[1], here[1], atol=1e-2)


def test_a_class_with_one_image_has_no_bias() -> None:
    logits, truth = drawn(200, biases=np.array([2.0, 0, 0, 0, 0, 0]))
    few = np.flatnonzero(truth == 0)[:1]
    kept = np.concatenate([few, np.flatnonzero(truth > 0)])
    _, biases = fit(logits[kept], truth[kept], with_biases=True)
    assert biases is not None
    assert biases[0] == 0
    assert all(biases[1:] != 0)


def test_scores_that_are_true_are_left_alone() -> None:
    changed = [seed for seed in range(40) if not calibration_of(*drawn(50, seed=seed)).changes_nothing]
    assert len(changed) <= 4


def test_a_wrong_scale_is_mended_by_a_temperature_and_labels_stay() -> None:
    found = [calibration_of(*drawn(100, temperature=3.0, seed=seed)) for seed in range(20)]
    assert all(one.temperature > 1.9 for one in found)
    without_biases = [one for one in found if one.biases is None]
    assert len(without_biases) >= 15
    assert all(one.before.top1 == one.after.top1 and one.before.nll > one.after.nll for one in without_biases)


def test_a_class_that_is_liked_too_well_is_mended_by_biases() -> None:
    logits, truth = drawn(100, biases=np.array([-2.0, 0, 0, 0, 0, 0]))
    found = calibration_of(logits, truth)
    assert found.biases is not None
    assert len(found.biases) == CLASSES
    assert min(found.biases) == found.biases[0] < -0.5
    assert found.after.top1 > found.before.top1
    assert (found.images, found.labels) == (100, len(set(truth)))
    assert calibration_of(logits, truth) == found


def test_what_is_after_is_of_images_that_were_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[frozenset[float]] = []
    original = calibration.fit

    def spy(logits: Array, truth: Array, **options: object) -> calibration.Fitted:
        fitted.append(frozenset(logits[:, 0].tolist()))
        return original(logits, truth, **options)

    monkeypatch.setattr(calibration, "fit", spy)
    logits, truth = drawn(60)
    calibration_of(logits, truth)
    everything = frozenset(logits[:, 0].tolist())
    assert fitted[:2] == [everything] * 2
    # Ten folds for each of the two ways, and each image is left out once.
    for folds in (fitted[2:12], fitted[12:]):
        left_out = [value for fold in folds for value in everything - fold]
        assert (len(folds), sorted(left_out)) == (10, sorted(everything))


def test_the_images_of_a_class_are_in_different_folds() -> None:
    folds = calibration.folds_of(np.repeat([3, 0, 5], [10, 7, 20]))
    assert [len(set(part)) for part in np.split(folds, [10, 17])] == [10, 7, 10]


def test_the_quality_is_counted_by_hand() -> None:
    chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7]])
    found = quality(np.log(chances), np.array([0, 1, 1, 1]))
    # Half of those of 0.9 are right, and all of those of 0.7.
    assert found.ece == pytest.approx((0.4 + 0.3) / 2, rel=1e-5)
    assert found.ece_low <= found.ece <= found.ece_high
    assert found.top1 == 0.75
    assert found.nll == pytest.approx(-np.log([0.9, 0.1, 0.7, 0.7]).mean())


GOOD = Quality(ece=0.1, ece_low=0.0, ece_high=0.2, top1=0.5, nll=1.0)
CALIBRATION = Calibration(temperature=2.0, biases=(1.0, 0.0, -1.0), images=50, labels=3, before=GOOD, after=GOOD)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_logits_are_divided_and_shifted(kind: type) -> None:
    logits = np.array([[2, 4, 6], [0, 0, 0]], kind)
    np.testing.assert_array_equal(CALIBRATION.apply(logits), [[2, 2, 2], [1, 0, -1]])
    np.testing.assert_array_equal(replace(CALIBRATION, biases=None).apply(logits), [[1, 2, 3], [0, 0, 0]])
    assert CALIBRATION.apply(logits).dtype == kind


def test_nothing_is_changed_by_nothing() -> None:
    nothing = replace(CALIBRATION, temperature=1.0, biases=None)
    assert nothing.changes_nothing
    assert not replace(nothing, temperature=1.1).changes_nothing
    assert not replace(nothing, biases=(0.0, 0.0, 1.0)).changes_nothing
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(nothing.apply(logits), logits)


def test_it_is_said_in_words() -> None:
    assert CALIBRATION.in_words() == "temperature 2.00 and a bias for each label, by 50 labelled images"
    assert replace(CALIBRATION, biases=None).in_words() == "temperature 2.00, by 50 labelled images"
    nothing = replace(CALIBRATION, temperature=1.0, biases=None, images=1200)
    assert nothing.in_words() == "nothing to change, by 1,200 labelled images"


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"biases": [1.0, 2.0]},
        {"biases": [1.0, 2.0, float("inf")]},
        {"before": {}},
        {"more": 1},
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, object]) -> None:
    assert Calibration.from_json(CALIBRATION.as_json()) == CALIBRATION
    assert CALIBRATION.fits(3)
    with pytest.raises((TypeError, ValueError, AssertionError)):
        assert Calibration.from_json(CALIBRATION.as_json() | change).fits(3)


def test_softmax_does_not_overflow() -> None:
    from clipcli.scoring.softmax import log_loss
    from clipcli.scoring.softmax import log_softmax as ours

    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(ours(logits), log_softmax(logits, axis=1))
    np.testing.assert_allclose(log_loss(logits, np.array([1, 2])), [1e4, -np.log(softmax(logits[1])[2])])
