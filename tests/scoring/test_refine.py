"""Refining finds the classes that a text classifier mixes up, and leaves alone what it cannot help."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcli.errors import BadFile, UsageError
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import Refinement, agreement, check_refinable, refine, stability
from clipcli.scoring.score import choose_score, cosine_of, score

CLASSES, DIMENSIONS = 8, 32
RNG = np.random.default_rng(0)
TEXTS = np.linalg.qr(RNG.standard_normal((DIMENSIONS, CLASSES)))[0].T.astype(np.float32)
# Images of every class are drawn to the text of the first, which so is nearest to most of them.
HUB = 0.45 * TEXTS[0]


def images(counts: list[int], *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of so many images of each class, and their classes."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    embeddings = 0.5 * TEXTS[truth] + HUB + 0.07 * rng.standard_normal((len(truth), DIMENSIONS))
    order = rng.permutation(len(truth))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    return embeddings[order], truth[order]


def classifier_of(texts: np.ndarray = TEXTS) -> Classifier:
    """A classifier of these class embeddings."""
    return Classifier(
        class_embeddings=texts.astype(np.float32),
        labels=tuple(f"class {n}" for n in range(len(texts))),
        model="none",
        fingerprint="0" * 64,
        prompts="plain",
        precision="fp32",
        logit_scale=10.0,
        logit_bias=None,
        score="softmax",
    )


def top1(embeddings: np.ndarray, truth: np.ndarray, classifier: Classifier) -> float:
    """The share of images whose class is the best."""
    return float((cosine_of(embeddings, classifier).argmax(axis=1) == truth).mean())


def refined() -> tuple[Refinement, np.ndarray, np.ndarray]:
    """What becomes of the classifier on 50 images of each class."""
    embeddings, truth = images([50] * CLASSES)
    return refine(embeddings, classifier_of()), embeddings, truth


def test_a_class_that_is_near_to_all_images_gives_some_back() -> None:
    found, embeddings, truth = refined()
    assert top1(embeddings, truth, classifier_of()) < 0.75
    assert top1(embeddings, truth, found.classifier) > 0.95
    assert found.reason is None
    assert found.classifier.refined_on == found.images == 400


def test_it_counts_the_labels_that_changed() -> None:
    found, embeddings, _ = refined()
    before, after = (cosine_of(embeddings, one).argmax(axis=1) for one in (classifier_of(), found.classifier))
    assert found.changed == (before != after).sum() == 88


def test_refined_scores_are_as_sure_as_plain_ones() -> None:
    found, embeddings, _ = refined()
    plain, now = (score(embeddings, one, kind="softmax") for one in (classifier_of(), found.classifier))
    assert now.max(axis=1).mean() == pytest.approx(plain.max(axis=1).mean(), abs=1e-3)
    np.testing.assert_allclose(now.sum(axis=1), 1, atol=1e-5)


def test_it_labels_images_that_it_was_not_refined_on() -> None:
    found, _, _ = refined()
    others, truth = images([50] * CLASSES, seed=2)
    assert top1(others, truth, found.classifier) > 0.95


def test_the_more_images_the_less_the_text_weighs() -> None:
    others, truth = images([50] * CLASSES, seed=2)
    reached = [
        top1(others, truth, refine(images([count] * CLASSES)[0], classifier_of()).classifier)
        for count in (30, 100, 400)
    ]
    assert reached == sorted(reached)
    assert reached[0] < 0.95
    assert reached[-1] > 0.98


def test_halves_of_images_in_groups_agree_and_halves_of_noise_do_not() -> None:
    noise = RNG.standard_normal((400, DIMENSIONS)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert stability(images([50] * CLASSES)[0], 10 * TEXTS) > 0.95
    assert stability(noise, TEXTS) < 0.8


def test_a_run_whose_halves_disagree_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcli.scoring.refine.stability", lambda *_: 0.67)
    found, _, _ = refined()
    assert found.reason == "two halves of the images would be refined differently"
    assert (found.changed, found.classifier.weights) == (0, None)


def test_the_same_images_give_the_same_classifier() -> None:
    first, second = refined()[0].classifier, refined()[0].classifier
    assert first.digest() == second.digest()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = refined()[0].classifier
    monkeypatch.setattr("clipcli.scoring.blocks._BLOCK", 7 * DIMENSIONS)
    parts = refined()[0].classifier
    np.testing.assert_allclose(np.asarray(parts.weights), np.asarray(whole.weights), atol=1e-4)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([20] * CLASSES, "160 images are fewer than 200"),
        ([300] + [0] * (CLASSES - 1), "most images have one of a few labels"),
        ([0, 150, 150] + [0] * (CLASSES - 3), "most images have one of a few labels"),
    ],
)
def test_where_it_cannot_help_it_leaves_the_classifier_alone(counts: list[int], reason: str) -> None:
    embeddings, _ = images(counts)
    classifier = classifier_of()
    found = refine(embeddings, classifier)
    assert found.classifier is classifier
    assert (found.images, found.changed, found.reason) == (sum(counts), 0, reason)


def test_labels_that_are_even_already_are_left_alone() -> None:
    embeddings = np.repeat(TEXTS, 50, axis=0)
    found = refine(embeddings, classifier_of())
    assert found.reason == "the labels are spread about as evenly as refined ones would be"


def test_one_label_alone_is_left_alone() -> None:
    found = refine(images([300])[0], classifier_of(TEXTS[:1]))
    assert found.reason == "there is one label alone"
    assert found.images == 300


def test_a_refined_classifier_is_not_refined_again() -> None:
    with pytest.raises(UsageError, match="the classifier is refined already"):
        check_refinable(refined()[0].classifier)


def test_a_refined_classifier_scores_by_softmax_alone() -> None:
    classifier = refined()[0].classifier
    assert choose_score("auto", classifier) == "softmax"
    with pytest.raises(UsageError, match="the classifier is refined, and its scores are softmax; cosine needs one"):
        choose_score("cosine", classifier)


def test_a_refined_classifier_is_saved_whole(tmp_path: Path) -> None:
    found, embeddings, _ = refined()
    found.classifier.save(tmp_path / "refined")
    loaded = Classifier.load(tmp_path / "refined")
    assert loaded.refined_on == 400
    np.testing.assert_array_equal(cosine_of(embeddings, loaded), cosine_of(embeddings, found.classifier))
    assert loaded.digest() == found.classifier.digest() != classifier_of().digest()


def test_a_plain_classifier_has_nothing_of_it_in_its_file(tmp_path: Path) -> None:
    classifier_of().save(tmp_path / "plain")
    content = (tmp_path / "plain").read_bytes()
    assert b"refined_on" not in content
    assert b"biases" not in content


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    classifier = refined()[0].classifier
    assert classifier.biases is not None
    for wrong in ({"biases": classifier.biases[1:]}, {"biases": None}, {"refined_on": None}):
        replace(classifier, **wrong).save(tmp_path / "wrong")
        with pytest.raises(BadFile, match="its refinement does not fit"):
            Classifier.load(tmp_path / "wrong")


def test_images_that_are_all_the_same_have_an_agreement() -> None:
    same = np.repeat(np.eye(1, DIMENSIONS, dtype=np.float32), 200, axis=0)
    assert agreement(same, classifier_of()) is not None
    assert agreement(same[:199], classifier_of()) is None
