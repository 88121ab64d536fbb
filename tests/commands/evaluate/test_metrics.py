"""Metrics and intervals are those of scikit-learn, torchmetrics and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from clipcli.commands.evaluate import chunks, classification, linear_probe
from clipcli.commands.evaluate.classification import (
    estimate_metrics,
    log_softmax,
    metric_values,
    predict_zero_shot,
    predictions_from,
)
from clipcli.commands.evaluate.linear_probe import fit, needed_images, predict, split
from clipcli.commands.evaluate.results import Predictions
from clipcli.commands.evaluate.retrieval import estimate_recall
from clipcli.scoring import intervals
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.intervals import bootstrap, difference, mean_by_class, mean_of, ratio_of
from clipcli.scoring.metrics import recall_both_ways
from clipcli.scoring.reliability import calibration_error, correct_bias, reliability
from clipcli.scoring.score import best


def made(images: int, classes: int, *, seed: int = 0) -> tuple[Predictions, np.ndarray]:
    """Predictions that are right more often than by chance, and the probabilities `[N, C]` behind them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=images)
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), truth] += 1.5
    logarithms = log_softmax(logits)
    probabilities = np.exp(logarithms).astype(np.float32)
    return predictions_from(
        ranking=logits, scores=probabilities, log_probabilities=logarithms, truth=truth
    ), probabilities


@pytest.mark.parametrize("classes", [2, 5, 12])
def test_the_metrics_are_scikit_learns(classes: int) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, top_k_accuracy_score

    predictions, probabilities = made(300, classes)
    values = metric_values(predictions, classes=classes)
    assert values["top1"] == pytest.approx(accuracy_score(predictions.truth, probabilities.argmax(axis=1)), abs=1e-12)
    assert values["mean_per_class_recall"] == pytest.approx(
        balanced_accuracy_score(predictions.truth, probabilities.argmax(axis=1)), abs=1e-12
    )
    exact = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    assert values["nll"] == pytest.approx(log_loss(predictions.truth, exact, labels=range(classes)), rel=1e-6)
    # Of five classes the five best are all of them.
    assert ("top5" in values) == (classes > 5)
    if classes > 5:
        oracle = top_k_accuracy_score(predictions.truth, probabilities, k=5, labels=range(classes))
        assert values["top5"] == pytest.approx(oracle, abs=1e-12)


def test_the_calibration_error_is_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("torchmetrics.functional.classification").multiclass_calibration_error
    for seed in range(5):
        predictions, probabilities = made(400, 7, seed=seed)
        # Scores on the very edges of bins, and of exactly 1.
        probabilities[:7] = np.eye(7, dtype=np.float32)
        probabilities[7:9] = np.array([0.6, 0.4, 0, 0, 0, 0, 0], dtype=np.float32)
        expected = oracle(
            torch.from_numpy(probabilities), torch.from_numpy(predictions.truth), num_classes=7, n_bins=15, norm="l1"
        )
        right = probabilities.argmax(axis=1) == predictions.truth
        statistic = calibration_error(probabilities.max(axis=1), right)
        assert statistic(np.ones((1, 400)))[0] == pytest.approx(float(expected), abs=1e-6)


def test_the_bins_of_the_diagram_add_up() -> None:
    predictions, _ = made(200, 4)
    confidence = predictions.scores[:, 0]
    bins = reliability(confidence, predictions.correct)
    assert sum(one.count for one in bins) == 200
    assert sum(one.count * one.accuracy for one in bins) == pytest.approx(predictions.correct.sum())
    assert all(one.low <= one.confidence <= one.high for one in bins)
    assert reliability(np.ones(3, np.float32), np.array([True, True, False]))[-1].high == 1


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    predictions, _ = made(120, 3)
    found = estimate_metrics(predictions, classes=3, keys=[str(n) for n in range(120)])
    order = sorted(range(120), key=str)
    right, truth = predictions.correct[order], predictions.truth[order]
    rng = np.random.default_rng(intervals.SEED)
    draws = rng.integers(120, size=(intervals.RESAMPLES, 120))
    shares = [right[draw].mean() for draw in draws]
    recalls = [np.mean([right[draw][truth[draw] == c].mean() for c in np.unique(truth[draw])]) for draw in draws]
    for name, values in (("top1", shares), ("mean_per_class_recall", recalls)):
        low, high = np.quantile(values, [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-12)
    assert found["top5"] is None


def test_an_interval_holds_what_it_should_and_is_as_wide_as_the_formula() -> None:
    values = np.random.default_rng(1).random(2000) < 0.3
    found = bootstrap({"share": mean_of(values)}, count=2000)["share"]
    assert found.value == values.mean()
    half = 1.96 * np.sqrt(found.value * (1 - found.value) / 2000)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.004)


@pytest.mark.parametrize("overconfident", [0.0, 0.05, 0.3])
def test_the_interval_of_the_calibration_error_holds_the_true_one(overconfident: float) -> None:
    rng = np.random.default_rng(5)
    # In the middle of a bin, the error of infinitely many images is the share by which scores promise too much.
    middles = (np.arange(15) + 0.5) / 15
    held, values = 0, []
    for _ in range(40):
        confidence = rng.choice(middles, size=200).astype(np.float32)
        right = rng.random(200) < confidence * (1 - overconfident)
        statistic = calibration_error(confidence, right)
        plain = bootstrap({"ece": statistic}, count=200)["ece"]
        found = correct_bias(plain, confidence)
        assert found.value == plain.value
        assert 0 <= found.low <= found.value <= found.high
        held += found.low <= overconfident * middles.mean() <= found.high
        values.append(found.value)
    assert held >= 34
    assert np.mean(values) > overconfident * middles.mean()


def test_many_images_are_drawn_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(50) % 2
    whole = bootstrap({"share": mean_of(values)}, count=50)["share"]
    monkeypatch.setattr(intervals, "_CELLS", 333)
    chunks = bootstrap({"share": mean_of(values)}, count=50)["share"]
    np.testing.assert_array_equal(whole.resampled, chunks.resampled)


def test_a_paired_difference_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(2)
    one = rng.random(300) < 0.6
    other = one ^ (rng.random(300) < 0.1)
    a, b, gain = (bootstrap({"x": mean_of(v)}, count=300)["x"] for v in (one, other, one.astype(int) - other))
    paired, unpaired = difference(a, b, paired=True), difference(a, b, paired=False)
    assert (paired.value, paired.low, paired.high) == pytest.approx((gain.value, gain.low, gain.high))
    assert unpaired.value == paired.value
    assert unpaired.high - unpaired.low > 1.5 * (paired.high - paired.low)


def test_a_class_that_is_not_drawn_does_not_count() -> None:
    statistic = mean_by_class(np.array([1, 0, 1]), np.array([0, 0, 4]))
    assert statistic(np.array([[1.0, 1, 1], [2, 0, 0], [0, 1, 2]])).tolist() == [0.75, 1.0, 0.5]


def test_a_ratio_of_captions() -> None:
    statistic = ratio_of(np.array([2, 1]), np.array([5, 1]))
    assert statistic(np.array([[1.0, 1], [0, 3]])).tolist() == [0.5, 1.0]


def test_recall_is_a_brute_force_count_both_ways() -> None:
    rng = np.random.default_rng(3)
    captions = rng.integers(1, 6, size=30)
    owners = np.repeat(np.arange(30), captions)
    images = rng.normal(size=(30, 8)).astype(np.float32)
    texts = (images[owners] + 1.5 * rng.normal(size=(len(owners), 8))).astype(np.float32)
    hits = recall_both_ways(images, texts, image_groups=np.arange(30), text_groups=owners)
    found = estimate_recall(hits, owners, images=30)
    similarity = images @ texts.T
    for k in (1, 5, 10):
        there = [set(owners[np.argsort(-row, kind="stable")[:k]]) for row in similarity]
        back = [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in similarity.T]
        expected = np.mean([n in own for n, own in enumerate(there)])
        assert found[f"image_to_text_recall@{k}"].value == pytest.approx(expected, abs=1e-12)
        expected = np.mean([owner in own for owner, own in zip(owners, back, strict=True)])
        assert found[f"text_to_image_recall@{k}"].value == pytest.approx(expected, abs=1e-12)
    assert 0 < found["image_to_text_recall@1"].value < found["image_to_text_recall@10"].value


@pytest.mark.parametrize(("classes", "images"), [(2, 30), (4, 30), (12, 8)])
def test_a_probe_is_scikit_learns_logistic_regression(classes: int, images: int) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(4)
    truth = np.repeat(np.arange(classes), images)
    centres = rng.normal(size=(classes, 6))
    embeddings = centres[truth] + rng.normal(size=(len(truth), 6))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    fitted = fit(embeddings, truth, split(truth, shots=None, seed=0))
    oracle = LogisticRegression(C=fitted.strength, tol=1e-10, max_iter=5000).fit(embeddings.astype(np.float64), truth)
    predictions = predict(fitted, embeddings, truth)
    assert fitted.converged
    assert predictions.best[:, 0].tolist() == oracle.predict(embeddings).tolist()
    probabilities = oracle.predict_proba(embeddings.astype(np.float64))
    np.testing.assert_allclose(predictions.scores[:, 0], probabilities.max(axis=1), atol=1e-3)
    exact = -np.log(probabilities[np.arange(len(truth)), truth])
    assert predictions.loss.mean() == pytest.approx(exact.mean(), rel=1e-3)


@pytest.mark.parametrize("shots", [1, 2, 8, None])
def test_a_split_draws_so_many_of_each_class_and_chooses_on_others(shots: int | None) -> None:
    truth = np.repeat(np.arange(3), 20)
    one, same, other = (split(truth, shots=shots, seed=seed) for seed in (0, 0, 1))
    assert set(one.validation) & set(one.train) == set()
    counts = np.bincount(truth[one.final])
    assert counts.tolist() == [20 if shots is None else shots] * 3
    held = {None: 4, 1: 1, 2: 2, 8: 4}[shots]
    assert np.bincount(truth[one.validation]).tolist() == [held] * 3
    assert one.validation.tolist() == same.validation.tolist() != other.validation.tolist()


def test_seeds_draw_from_all_images_and_only_those_drawn_are_needed() -> None:
    truth = np.repeat(np.arange(3), [500, 20, 9])
    needed = needed_images(truth, shots=[1, 4], seeds=2)
    splits = [split(truth, shots=shots, seed=seed) for shots in (1, 4) for seed in range(2)]
    assert needed.tolist() == sorted({n for one in splits for n in (*one.final, *one.validation)})
    # Two draws of eight images out of five hundred have hardly one in common.
    firsts = [set(one.final) | set(one.validation) for one in splits[2:]]
    assert len({n for n in firsts[0] & firsts[1] if truth[n] == 0}) <= 1
    assert len(needed_images(truth, shots=[1, None], seeds=2)) == len(truth)
    usable = np.isin(np.arange(len(truth)), needed)
    for shots in (1, 4):
        one, again = split(truth, shots=shots, seed=1), split(truth, shots=shots, seed=1, usable=usable)
        assert one.final.tolist() == again.final.tolist()
        assert needed[again.within(needed).validation].tolist() == one.validation.tolist()
    usable[splits[2].final[0]] = False
    other = split(truth, shots=4, seed=0, usable=usable)
    assert np.bincount(truth[other.final]).tolist() == [4, 4, 4]
    assert set(splits[2].final[1:]) <= set(other.final)


def test_a_probe_of_a_thousand_classes_learns() -> None:
    """scikit-learn's own tolerance ends at weights of 0 here, after no step, and calls it converged."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(1000), 2)
    centres = rng.normal(size=(1000, 768))
    embeddings = centres[truth] + rng.normal(size=(len(truth), 768))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    train, test = np.arange(0, 2000, 2), np.arange(1, 2000, 2)
    probe = linear_probe._Regression(embeddings[train], truth[train]).fit(100.0, precision=0.1)
    predictions = predict(probe, embeddings[test], truth[test])
    assert probe.converged
    assert predictions.loss.mean() < 2 < np.log(1000)
    assert (predictions.best[:, 0] == truth[test]).mean() > 0.95


def test_no_step_is_no_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    truth = np.repeat(np.arange(3), 4)
    embeddings = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    regression = linear_probe._Regression(embeddings, truth)
    assert regression.fit(1.0, precision=1e-3).converged
    assert not regression.fit(1.0, precision=10).converged
    started = regression.fit(1.0, precision=1e-2)
    # It begins where it would end: the weights are found anew.
    assert regression.fit(1.0, precision=1e-1, start=started).converged
    monkeypatch.setattr(linear_probe, "_MOST_STEPS", 1)
    assert not regression.fit(1.0, precision=1e-3).converged
    assert LogisticRegression(tol=1.0).fit(embeddings, truth).n_iter_[0] == 0


def test_the_search_for_the_regularisation_is_coarse_to_fine() -> None:
    """On a smooth loss it finds the best of 97 strengths with a few of them, wherever that is."""
    for lowest in (-48, -47, -13, -9, -8, -3, 0, 5, 22, 47, 48):
        tried: list[int] = []

        def loss(eighths: int, lowest: int = lowest, tried: list[int] = tried) -> float:
            tried.append(eighths)
            return abs(eighths - lowest) ** 1.5

        assert linear_probe.most_likely(loss) == lowest
        assert len(set(tried)) <= 16
        assert min(tried) >= -48
        assert max(tried) <= 48
    assert linear_probe.strength(-8) == pytest.approx(0.1)
    assert linear_probe.strength(4) == pytest.approx(10**0.5)


def test_equal_likelihoods_do_not_end_the_choice_of_the_regularisation() -> None:
    losses = {-8: 2.0, 0: 1.0, 8: 1.0, 16: 1.0, 24: 0.5, 32: 0.7, 40: 0.7}
    assert linear_probe.most_likely(lambda eighths: losses.get(eighths, 0.6)) == 24


def test_many_images_are_predicted_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    embeddings, classes = (rng.normal(size=(size, 4)).astype(np.float32) for size in (50, 7))
    truth = rng.integers(7, size=50)
    classifier = Classifier(classes, tuple("abcdefg"), "m", "f", "p", "fp32", 3.0, None, "softmax")
    whole = predict_zero_shot(embeddings, truth, classifier)
    most = []
    monkeypatch.setattr(chunks, "AT_ONCE", 16)
    monkeypatch.setattr(classification, "best", lambda order, k: (most.append(len(order)), best(order, k))[1])
    parts = predict_zero_shot(embeddings, truth, classifier)
    assert most == [16, 16, 16, 2]
    assert parts.best.tolist() == whole.best.tolist()
    np.testing.assert_allclose(parts.loss, whole.loss, atol=1e-6)
    np.testing.assert_allclose(parts.truth_score, whole.truth_score, atol=1e-6)
