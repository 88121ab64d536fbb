"""Scores add up the tree, answers back off to the group that is sure enough, and distances are those of the tree."""

from __future__ import annotations

import numpy as np
import pytest
from small_data import in_memory

from clipcli.classes.tree import Tree
from clipcli.errors import UsageError
from clipcli.records import Scores, Skipped
from clipcli.scoring.decide import decide
from clipcli.scoring.tree import back_off, backed_off, check_back_off, group_scores
from clipcli.scoring.tree_metrics import Ways

# beagle and husky are dogs, these and the tabby animals; the car is a thing, and the sky is in no group.
TREE = Tree((("animal", "dog"), ("animal", "dog"), ("animal",), ("thing",), ()))
BEAGLE, HUSKY, TABBY, CAR, SKY, ANIMAL, DOG, THING = range(8)
SCORES = np.array(
    [
        [0.90, 0.05, 0.02, 0.02, 0.01],
        [0.50, 0.35, 0.05, 0.06, 0.04],
        [0.40, 0.10, 0.35, 0.10, 0.05],
        [0.20, 0.15, 0.20, 0.25, 0.20],
        [0.15, 0.10, 0.10, 0.30, 0.35],
        [0.24, 0.24, 0.15, 0.27, 0.10],
    ],
    np.float32,
)


def test_probabilities_of_a_group_are_the_sum_of_its_classes() -> None:
    found = group_scores(SCORES, TREE, kind="softmax")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], [0.97, 0.95, 0.02], rtol=1e-6)
    np.testing.assert_allclose(found[3], [0.55, 0.35, 0.25], rtol=1e-6)


@pytest.mark.parametrize("kind", ["sigmoid", "cosine"])
def test_other_scores_of_a_group_are_the_highest_of_its_classes(kind: str) -> None:
    np.testing.assert_array_equal(group_scores(-SCORES, TREE, kind=kind)[2], -np.float32([0.10, 0.10, 0.10]))


def test_no_group_is_surer_than_one() -> None:
    tree = Tree((("all",),) * 3)
    assert group_scores(np.float32([[0.7, 0.2, 0.10000002]]), tree, kind="softmax").max() == 1


def test_scores_of_a_row_do_not_depend_on_the_others() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(200), size=64).astype(np.float32)
    tree = Tree(tuple((f"a{n % 7}", f"b{n % 49}") for n in range(200)))
    together = group_scores(scores, tree, kind="softmax")
    alone = np.concatenate([group_scores(row[None], tree, kind="softmax") for row in scores])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0.0, [BEAGLE, BEAGLE, BEAGLE, CAR, SKY, CAR]),
        # Of the fourth and the last neither a class reaches it nor the things, but the dogs, innermost of the others.
        (0.34, [BEAGLE, BEAGLE, BEAGLE, DOG, SKY, DOG]),
        (0.52, [BEAGLE, DOG, ANIMAL, ANIMAL, SKY, ANIMAL]),
        (0.8, [BEAGLE, DOG, ANIMAL, THING, SKY, THING]),
        (0.96, [ANIMAL, ANIMAL, ANIMAL, THING, SKY, THING]),
    ],
)
def test_the_answer_is_the_innermost_that_reaches_the_probability(at: float, expected: list[int]) -> None:
    answers, scores = back_off(SCORES, TREE, at=at)
    assert answers.tolist() == expected
    everything = np.concatenate([SCORES, group_scores(SCORES, TREE, kind="softmax")], axis=1)
    np.testing.assert_array_equal(scores, everything[np.arange(6), expected])


def test_a_backed_off_answer_comes_before_the_best_classes() -> None:
    entries = (in_memory("a"), Skipped(in_memory("x"), "truncated"), in_memory("b"))
    scores = Scores(entries, SCORES[:2])
    decided = decide(scores, top_k=3)
    found = backed_off(decided, scores, TREE, at=0.8, top_k=3)
    assert found.entries == entries
    assert [one.classes for one in found.decisions] == [(BEAGLE, HUSKY, TABBY), (DOG, BEAGLE, HUSKY)]
    assert found.decisions[1].scores == pytest.approx((0.85, 0.5, 0.35))
    assert found.decisions[0] == decided.decisions[0]
    assert {type(n) for one in found.decisions for n in (*one.classes, *one.scores)} == {int, float}


@pytest.mark.parametrize(
    ("tree", "kind", "message"),
    [
        (None, "softmax", r"--back-off needs groups to back off to; give labels that nest in a \.yaml, or --taxonomy"),
        (TREE, "cosine", "--back-off needs scores that add up, and those of cosine do not; use --score softmax"),
        (TREE, "sigmoid", "those of sigmoid do not"),
    ],
)
def test_backing_off_needs_groups_and_scores_that_add_up(tree: Tree | None, kind: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_back_off(tree, kind)


WAYS = Ways(TREE)
PAIRS = {
    # Answer and truth: steps between them, the height of what has both in it, and whether the answer is right.
    (BEAGLE, BEAGLE): (0, 0, True),
    (BEAGLE, HUSKY): (2, 1, False),
    (BEAGLE, TABBY): (3, 2, False),
    (TABBY, BEAGLE): (3, 2, False),
    (BEAGLE, CAR): (5, 3, False),
    (SKY, CAR): (3, 3, False),
    (DOG, BEAGLE): (1, 1, True),
    (ANIMAL, BEAGLE): (2, 2, True),
    (DOG, TABBY): (2, 2, False),
    (ANIMAL, SKY): (2, 3, False),
    (THING, CAR): (1, 1, True),
}


def test_distances_are_counted_along_the_tree() -> None:
    answers, truth = (np.array(some) for some in zip(*PAIRS, strict=True))
    found = zip(
        WAYS.edges(answers, truth).tolist(),
        WAYS.common_heights(answers, truth).tolist(),
        WAYS.right(answers, truth).tolist(),
        strict=True,
    )
    assert dict(zip(PAIRS, found, strict=True)) == PAIRS


def test_a_class_stands_for_itself_below_its_groups() -> None:
    assert WAYS.levels().tolist() == [
        [ANIMAL, ANIMAL, ANIMAL, THING, SKY],
        [DOG, DOG, TABBY, CAR, SKY],
        [BEAGLE, HUSKY, TABBY, CAR, SKY],
    ]
