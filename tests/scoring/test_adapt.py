"""Adapting to a few images: what moves, what keeps its text, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import clipcli
from clipcli.errors import BadFile, UsageError
from clipcli.scoring.adapt import adapted, fit, needs_others
from clipcli.scoring.adaptation import Accuracy, Adaptation
from clipcli.scoring.refine import check_refinable
from clipcli.scoring.score import choose_score
from clipcli.scoring.several import check_plain
from clipcli.scoring.unknown import default_threshold

CLASSES, DIMENSIONS = 6, 24
ACCURACY = Accuracy(before=0.5, after=0.7, gain=0.2, low=0.1, high=0.3)
LEARNED = Adaptation(
    images=12,
    nones=3,
    by_class={"0": 7, "3": 5},
    digest="d",
    text_trust=1.0,
    accuracy=ACCURACY,
    unknown_at=0.61,
    prior=200.0,
)


def unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def centres() -> NDArray[np.float64]:
    return np.random.default_rng(1).standard_normal((CLASSES, DIMENSIONS))


@pytest.fixture(scope="module")
def classifier(centres: NDArray[np.float64]) -> clipcli.Classifier:
    """Texts that are half right: each is between its images and chance."""
    texts = unit(0.5 * centres + np.random.default_rng(2).standard_normal(centres.shape))
    return clipcli.Classifier(texts, tuple(map(str, range(CLASSES))), "m", "0", "plain", "fp32", 20.0, None, "softmax")


def images_of(
    centres: NDArray[np.float64], classes: list[int], *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    truth = np.array(classes)
    noise = np.random.default_rng(seed).standard_normal((len(truth), DIMENSIONS))
    return unit(centres[truth] + 1.2 * noise), truth


def top1(logits: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    return float((logits.argmax(axis=1) == truth).mean())


@pytest.mark.parametrize("shots", [1, 4, 16])
def test_a_few_images_a_class_make_more_right_and_one_no_fewer(
    centres: NDArray[np.float64], classifier: clipcli.Classifier, shots: int
) -> None:
    test, own = images_of(centres, [*range(CLASSES)] * 100, seed=9)
    before = top1(test @ classifier.class_embeddings.T, own)
    fitted, accuracy = adapted(*images_of(centres, [*range(CLASSES)] * shots, seed=3), classifier)
    after = top1(fitted.logits(test.astype(float)), own)
    assert after >= before + (0 if shots == 1 else 0.1)
    if shots == 1:
        assert accuracy is None
    else:
        assert accuracy is not None
        assert accuracy.before == pytest.approx(before, abs=0.15)
        assert accuracy.after == pytest.approx(after, abs=0.15)


def test_classes_without_images_keep_their_text_at_one_scale(
    centres: NDArray[np.float64], classifier: clipcli.Classifier
) -> None:
    fitted, _ = adapted(*images_of(centres, [1, 4] * 10, seed=3), classifier)
    others = [0, 2, 3, 5]
    texts = classifier.logit_scale * classifier.class_embeddings
    np.testing.assert_allclose(fitted.weights[others], fitted.trust * texts[others], rtol=1e-6)
    assert (fitted.biases[others] == 0).all()
    assert np.abs(fitted.weights[[1, 4]] - fitted.trust * texts[[1, 4]]).max() > 0.1


def test_corrected_classes_do_not_draw_the_images_of_others(
    centres: NDArray[np.float64], classifier: clipcli.Classifier
) -> None:
    fitted, _ = adapted(*images_of(centres, [1, 4] * 16, seed=3), classifier)
    test, own = images_of(centres, [0, 2, 3, 5] * 200, seed=9)
    before = top1(test @ classifier.class_embeddings.T, own)
    assert top1(fitted.logits(test.astype(float)), own) > before - 0.02


def test_images_of_one_class_alone_can_be_learned(centres: NDArray[np.float64], classifier: clipcli.Classifier) -> None:
    for count in (1, 3):
        fitted, accuracy = adapted(*images_of(centres, [2] * count, seed=3), classifier)
        assert accuracy is None
        assert np.isfinite(fitted.weights).all()


def test_good_texts_stay(centres: NDArray[np.float64], classifier: clipcli.Classifier) -> None:
    right = replace(classifier, class_embeddings=unit(centres))
    test, own = images_of(centres, [*range(CLASSES)] * 200, seed=9)
    fitted, _ = adapted(*images_of(centres, [*range(CLASSES)] * 2, seed=3), right)
    assert top1(fitted.logits(test.astype(float)), own) > top1(test @ right.class_embeddings.T, own) - 0.02


def test_it_is_the_same_each_time(centres: NDArray[np.float64], classifier: clipcli.Classifier) -> None:
    images, truth = images_of(centres, [*range(CLASSES)] * 3, seed=3)
    (first, told), (second, again) = (adapted(images, truth, classifier) for _ in range(2))
    assert (first.weights == second.weights).all()
    assert told == again


def test_a_file_holds_what_was_learned(classifier: clipcli.Classifier, tmp_path: Path) -> None:
    learned = replace(
        classifier, weights=classifier.class_embeddings, biases=np.zeros(CLASSES, np.float32), adaptation=LEARNED
    )
    learned.save(tmp_path / "c.safetensors")
    found = clipcli.Classifier.load(tmp_path / "c.safetensors")
    assert found.adaptation == LEARNED
    # A file of an earlier version has no prior.
    as_before = {name: value for name, value in LEARNED.as_json().items() if name != "prior"}
    assert Adaptation.from_json(as_before) == replace(LEARNED, prior=None)
    assert found.digest() == learned.digest() != classifier.digest()
    assert found.in_words() == (
        "adapted to 12 corrections of 2 labels, unknown from 0.61 on by 3 of none of the labels"
    )
    assert default_threshold(found) == 0.61
    replace(learned, weights=None, biases=None).save(tmp_path / "d.safetensors")
    with pytest.raises(BadFile, match="its refinement does not fit"):
        clipcli.Classifier.load(tmp_path / "d.safetensors")
    replace(learned, adaptation=replace(LEARNED, by_class={"9": 1})).save(tmp_path / "e.safetensors")
    with pytest.raises(BadFile, match="its corrections and labels do not fit"):
        clipcli.Classifier.load(tmp_path / "e.safetensors")


def test_images_of_no_class_alone_leave_the_labels(classifier: clipcli.Classifier, tmp_path: Path) -> None:
    only = replace(LEARNED, images=0, by_class={}, accuracy=None)
    replace(classifier, adaptation=only).save(tmp_path / "c.safetensors")
    found = clipcli.Classifier.load(tmp_path / "c.safetensors")
    assert found.weights is None
    assert found.in_words() == "taught that images are unknown from 0.61 on, by 3 of none of the labels"


def test_what_an_adapted_classifier_cannot_do(classifier: clipcli.Classifier) -> None:
    learned = replace(
        classifier, weights=classifier.class_embeddings, biases=np.zeros(CLASSES, np.float32), adaptation=LEARNED
    )
    with pytest.raises(UsageError, match="adapted to corrections, and would forget them"):
        check_refinable(learned)
    with pytest.raises(UsageError, match="the classifier is adapted, and its scores are softmax"):
        choose_score("cosine", learned)
    with pytest.raises(UsageError, match="the classifier is adapted, and several labels"):
        check_plain(learned)


def test_it_moves_less_where_classes_have_no_correction(
    centres: NDArray[np.float64], classifier: clipcli.Classifier
) -> None:
    """The prior is narrower there; with two corrections of each class, poor texts are trusted less."""
    images, truth = images_of(centres, [*range(CLASSES)], seed=3)
    texts = classifier.logit_scale * classifier.class_embeddings.astype(float)
    every, some = adapted(images, truth, classifier)[0], adapted(images[1:], truth[1:], classifier)[0]
    for fitted, prior, count in ((every, 100.0, 0), (some, 200.0, 1)):
        wanted = fit(images[count:].astype(float), truth[count:], texts, trust=1.0, prior=prior)
        np.testing.assert_allclose(fitted.weights, wanted.weights)
    poor = replace(classifier, class_embeddings=unit(np.random.default_rng(5).standard_normal(centres.shape)))
    assert (
        adapted(*images_of(centres, [*range(CLASSES)] * 8, seed=3), poor)[0].trust
        < adapted(
            *images_of(centres, [*range(CLASSES)] * 8, seed=3), replace(classifier, class_embeddings=unit(centres))
        )[0].trust
    )


def test_images_of_unknown_classes_tell_how_far_to_trust_the_text(classifier: clipcli.Classifier) -> None:
    """With one image a class corrections count for more where they label better than the text does, and only there."""
    count = 60
    centres = np.random.default_rng(1).standard_normal((count, 2 * DIMENSIONS))

    def drawn(seed: int, *, times: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        own = np.tile(np.arange(count), times)
        noise = np.random.default_rng(seed).standard_normal((len(own), centres.shape[1]))
        return unit(centres[own] + 0.8 * noise), own

    (images, truth), (others, own) = drawn(3, times=1), drawn(7, times=10)
    labels = tuple(map(str, range(count)))
    good = replace(classifier, class_embeddings=unit(centres), labels=labels, logit_scale=5.0)
    # The texts of half of the classes are those of others.
    mixed = np.concatenate([np.arange(count // 2), np.roll(np.arange(count // 2, count), 1)])
    poor = replace(good, class_embeddings=good.class_embeddings[mixed])
    alone, _ = adapted(images, truth, poor)
    fitted, accuracy = adapted(images, truth, poor, others=others)
    assert alone.prior == 100.0
    # The trust is 1/4, times the factor of all logits.
    assert (fitted.trust, fitted.prior, accuracy) == (0.5, 30.0, None)
    assert top1(fitted.logits(others.astype(float)), own) > top1(alone.logits(others.astype(float)), own) + 0.1
    assert adapted(images, truth, good, others=others)[0].prior == 100.0
    # The corrections themselves tell nothing, and neither do others where classes have more than one, or none.
    assert adapted(images, truth, poor, others=images)[0].prior == 100.0
    assert needs_others(truth, count)
    assert not needs_others(truth[1:], count)
    assert not needs_others(np.concatenate([truth, truth]), count)
