"""The doubtful come first, spread over labels and embeddings; every fourth is at random; look-alikes go together."""

from __future__ import annotations

import numpy as np
import pytest

from clipcli.commands.review.alike import groups_alike, likely_labels
from clipcli.commands.review.order import doubtful_first, draw, with_drawn


def unit(vectors: object) -> np.ndarray:
    array = np.array(vectors, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_the_smallest_lead_comes_first_and_labels_take_turns() -> None:
    leads = [0.01, 0.02, 0.03, 0.9, 0.04]
    groups = np.array([0, 0, 0, 0, 1])
    assert doubtful_first(leads, groups, None) == [0, 1, 4, 2, 3]
    assert doubtful_first(leads, np.zeros(5, dtype=np.intp), None) == [0, 1, 2, 4, 3]


def test_photos_like_those_before_wait() -> None:
    leads = [0.0, 0.01, 0.02, 0.03]
    embeddings = unit([[1, 0], [1, 0.01], [1, 0.02], [0, 1]])
    order = doubtful_first(leads, np.zeros(4, dtype=np.intp), embeddings)
    assert order[:2] == [0, 3]
    assert sorted(order) == [0, 1, 2, 3]


def test_a_photo_without_an_embedding_is_far_from_all() -> None:
    embeddings = np.concatenate([unit([[1, 0], [1, 0.01], [1, 0.02]]), np.zeros((1, 2), np.float32)])
    assert doubtful_first([0.0, 0.01, 0.02, 0.03], np.zeros(4, dtype=np.intp), embeddings)[:2] == [0, 3]


def test_a_sure_photo_does_not_come_before_the_pool_of_doubtful_ones() -> None:
    rng = np.random.default_rng(0)
    order = doubtful_first(list(rng.permutation(3000) / 3000), rng.integers(5, size=3000), unit(rng.random((3000, 4))))
    assert sorted(order) == list(range(3000))
    leads = rng.permutation(3000) / 3000
    order = doubtful_first(list(leads), np.zeros(3000, dtype=np.intp), None)
    assert max(leads[order[:50]]) < 550 / 3000
    # Beyond the first thousand the order is by doubt alone.
    assert (np.diff(leads[order[1000:]]) > 0).all()


def test_the_draw_is_the_same_in_every_run_and_at_most_every_fourth() -> None:
    assert draw(40, most=100) == draw(40, most=100)
    assert len(draw(40, most=100)) == 10
    assert len(draw(1000, most=100)) == 100
    assert draw(1000, most=7) == draw(1000, most=100)[:7]
    assert draw(3, most=100) == []


def test_every_fourth_photo_is_one_of_the_drawn_in_their_order() -> None:
    order = with_drawn([5, 0, 1, 2, 3, 4, 7, 6, 8], [8, 0])
    assert order == [5, 1, 2, 8, 3, 4, 7, 0, 6]


def test_photos_of_one_label_that_look_alike_are_a_group() -> None:
    rng = np.random.default_rng(0)
    others = unit(rng.normal(size=(200, 16)))
    near = unit(np.ones(16) + 0.01 * rng.normal(size=(6, 16)))
    embeddings = np.concatenate([near, others])
    labels = np.array([0, 0, 0, 0, 1, 0, *[2] * 200])
    found = groups_alike(range(206), labels, embeddings, apart=[5])
    assert sorted(found[0]) == [0, 1, 2, 3]
    assert found[0][0] == 0
    numbers = [n for group in found for n in group]
    assert len(numbers) == len(set(numbers))
    assert {4, 5} & set(numbers) == set()


def test_two_photos_are_no_group_and_those_without_embedding_in_none() -> None:
    embeddings = np.zeros((6, 2), np.float32)
    embeddings[:2] = [[1, 0], [1, 0]]
    assert groups_alike(range(6), np.zeros(6, dtype=np.intp), embeddings, apart=[]) == []


def test_likely_labels_are_those_of_photos_like_it_and_else_the_frequent() -> None:
    labels = np.array([0, 1, 1, 2])
    embeddings = unit([[1, 0], [0, 1], [0.1, 1], [1, 0.4]])
    embeddings[3] = 0
    assert likely_labels(labels, None, count=2).tolist() == [[1, 0]] * 4
    likely = likely_labels(labels, embeddings, count=2)
    assert likely[0].tolist() == [0, 1]
    assert likely[1].tolist() == [1, 0]
    assert likely[3].tolist() == [1, 0]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_photos_are_ordered_too(count: int) -> None:
    order = with_drawn(doubtful_first([0.5] * count, np.zeros(count, dtype=np.intp), None), draw(count, most=100))
    assert sorted(order) == list(range(count))
