"""Right answers are counted as scikit-learn and a plain loop count them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipcli.scoring import metrics
from clipcli.scoring.metrics import recall_both_ways, recall_hits, top_k_accuracy

SETTINGS = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("k", [1, 2])
def test_top_k_accuracy_is_scikit_learns(classes: int, k: int) -> None:
    oracle = pytest.importorskip("sklearn.metrics").top_k_accuracy_score
    rng = np.random.default_rng(classes)
    scores, truth = rng.random((50, classes), dtype=np.float32), rng.integers(classes, size=50)
    expected = oracle(truth, scores, k=k, labels=range(classes))
    assert 0 < expected < 1
    assert top_k_accuracy(scores, truth, k=k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("k", "expected"), [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0), (5, 1.0), (1000, 1.0)])
def test_top_k_accuracy_of_a_table(k: int, expected: float) -> None:
    scores = np.array([[4, 3, 2, 1]] * 4, dtype=np.float32)
    assert top_k_accuracy(scores, np.arange(4), k=k) == expected


def test_of_equal_scores_the_earlier_class_counts() -> None:
    scores = np.zeros((4, 4), dtype=np.float32)
    assert [top_k_accuracy(scores, np.arange(4), k=k) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]
    assert top_k_accuracy(scores, np.zeros(4, dtype=np.intp), k=1) == 1


def by_hand(
    similarities: np.ndarray, query_groups: np.ndarray, target_groups: np.ndarray, ks: list[int]
) -> dict[int, float]:
    """Recall, query by query, with the earlier of equally near targets first."""
    found = dict.fromkeys(ks, 0)
    for row, group in zip(similarities.tolist(), query_groups, strict=True):
        nearest = sorted(range(len(row)), key=lambda n: (-row[n], n))
        for k in ks:
            found[k] += any(target_groups[n] == group for n in nearest[:k])
    return {k: count / len(similarities) for k, count in found.items()}


def recall(queries: NDArray[np.float32], targets: NDArray[np.float32], **groups: Any) -> dict[int, float]:
    return {k: int(found.sum()) / len(found) for k, found in recall_hits(queries, targets, **groups).items()}


# Few values, so that many similarities are equal; whole ones, so that they are exact.
ROWS = st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 3)), min_size=1, max_size=12)


@SETTINGS
@given(queries=ROWS, targets=ROWS, ks=st.lists(st.integers(1, 15), min_size=1, max_size=3, unique=True))
def test_recall_is_that_of_a_plain_loop(
    queries: list[tuple[int, int, int]], targets: list[tuple[int, int, int]], ks: list[int]
) -> None:
    q, t = np.array(queries), np.array(targets)
    made = recall(
        q[:, :2].astype(np.float32),
        t[:, :2].astype(np.float32),
        query_groups=q[:, 2],
        target_groups=t[:, 2],
        ks=ks,
    )
    assert made == by_hand(q[:, :2] @ t[:, :2].T, q[:, 2], t[:, 2], ks)


def test_many_queries_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_ROWS", 7)
    rng = np.random.default_rng(0)
    queries, targets = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(40, 4)).astype(np.float32)
    groups = {"query_groups": rng.integers(10, size=50), "target_groups": rng.integers(10, size=40)}
    made = recall(queries, targets, ks=(1, 5, 10), **groups)
    assert made == by_hand(queries @ targets.T, *groups.values(), [1, 5, 10])
    assert 0 < made[1] < made[5] < made[10] < 1


def test_any_of_several_captions_is_right_and_counts_once() -> None:
    images = np.eye(2, dtype=np.float32)
    # Image 0 has three captions, of which only the third is nearest to it; image 1 has one, which is not.
    captions = np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4]], dtype=np.float32)
    owners = np.array([0, 0, 0, 1])
    there = recall(images, captions, query_groups=np.arange(2), target_groups=owners, ks=(1, 2, 3))
    assert there == {1: 0.5, 2: 0.5, 3: 1.0}
    back = recall(captions, images, query_groups=owners, target_groups=np.arange(2), ks=(1, 2))
    assert back == {1: 0.25, 2: 1.0}


@pytest.mark.parametrize("k", [3, 4, 100])
def test_with_no_more_targets_than_k_all_is_found_that_is_there(k: int) -> None:
    queries = np.ones((4, 2), dtype=np.float32)
    groups = {"query_groups": np.array([0, 1, 2, 7]), "target_groups": np.array([0, 1, 2])}
    assert recall(queries, queries[:3], ks=(1, k), **groups) == {1: 0.25, k: 0.75}


def test_recall_both_ways_has_a_value_for_each_image_and_each_text() -> None:
    images = np.eye(2, dtype=np.float32)
    texts = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], dtype=np.float32)
    hits = recall_both_ways(images, texts, image_groups=np.arange(2), text_groups=np.array([0, 0, 1]))
    assert list(hits) == [f"{way}_recall@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    # The text of image 1 is its nearest; but the nearest image of that text is image 0.
    assert hits["image_to_text_recall@1"].tolist() == [True, True]
    assert hits["text_to_image_recall@1"].tolist() == [True, True, False]
    assert hits["text_to_image_recall@5"].tolist() == [True, True, True]
