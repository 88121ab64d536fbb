"""What is found about labels, in embedding spaces that are made so that the right answer is known."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from clipcli.commands.labels.alike import alike
from clipcli.commands.labels.findings import Finding
from clipcli.commands.labels.missing import missing
from clipcli.commands.labels.suggest import suggest
from clipcli.commands.labels.winners import Winners, everywhere, never
from clipcli.scoring import blocks

Array = NDArray[np.float32]
AXES = np.eye(8, dtype=np.float32)


def unit(rows: object) -> Array:
    """The rows, L2-normalised."""
    array = np.asarray(rows, np.float32)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def near(axis: int, count: int, *, spread: float = 0.1, seed: int = 0) -> Array:
    """Embeddings `[count, 8]` around an axis."""
    noise = np.random.default_rng(seed).normal(size=(count, 8)) * spread
    return unit(AXES[axis] + noise)


# Eight words, each with a cosine of 0.5 to one other.
WORDS = unit([AXES[n - n % 2] + (n % 2) * np.sqrt(3) * AXES[n] for n in range(8)])


def test_labels_are_alike_if_they_are_nearer_than_words_are() -> None:
    classes = unit([AXES[0], AXES[0] + 0.3 * AXES[1], AXES[0] + 2 * AXES[2], AXES[3]])
    [found] = alike(["lorry", "truck", "van", "cat"], classes, WORDS, None)
    assert found.labels == ("lorry", "truck")
    assert "cosine 0.96" in found.says
    assert "(0.50)" in found.says
    assert found.suggestion.startswith("make 'truck' an alias of 'lorry'")
    assert found.effect is None


def test_of_two_labels_that_are_alike_the_one_with_fewer_images_goes() -> None:
    classes = unit([AXES[0], AXES[0] + 0.3 * AXES[1], AXES[3]])
    images = unit([AXES[0] + AXES[1]] * 5 + [AXES[0]] * 2 + [AXES[3]] * 3)
    [found] = alike(["lorry", "truck", "cat"], classes, WORDS, Winners.of(images, classes))
    assert found.labels == ("truck", "lorry")
    assert found.effect == "2 images of the 2 of 'lorry' have 'truck' next"


def test_nothing_is_alike_without_a_vocabulary_to_measure_by() -> None:
    assert list(alike(["a", "b"], AXES[[0, 0]], AXES[:0], None)) == []


def test_a_label_without_an_image_is_named_with_the_label_that_is_before_it() -> None:
    classes = unit([AXES[0], AXES[0] + 0.5 * AXES[1] - 0.2 * AXES[3], AXES[2]])
    winners = Winners.of(np.concatenate([near(0, 6, spread=0.01), near(2, 6, spread=0.01)]), classes)
    [found] = never(["dog", "wolf", "cat"], winners)
    assert found.labels == ("wolf",)
    assert found.says.startswith("'wolf' is second on ")
    assert "that 'dog' gets" in found.says
    assert found.effect == "left out, it changes no count"


@pytest.mark.parametrize(("images", "count"), [(8, 0), (9, 1)])
def test_few_images_say_nothing_of_labels_without_one(images: int, count: int) -> None:
    winners = Winners.of(near(0, images, spread=0.01), unit([AXES[0], AXES[1], AXES[0] + AXES[1]]))
    assert len(list(never(["a", "b", "c"], winners))) == count * 2


def test_a_label_that_gets_images_of_all_kinds_is_told_from_a_frequent_one() -> None:
    images = np.concatenate([near(n, 20, spread=0.05, seed=n) for n in range(4)] + [near(4, 80, spread=0.05)])
    # "thing" is a little of everything; "dog" is one thing, of which there are many photos.
    thing = AXES[0] + AXES[1] + AXES[2] + AXES[3]
    classes = unit([thing, AXES[4], AXES[5] + 0.05 * thing, AXES[6], AXES[7]])
    found = list(everywhere(["thing", "dog", "cat", "cow", "hen"], images, Winners.of(images, classes)))
    assert [one.labels for one in found] == [("thing",)]
    assert found[0].says.startswith("'thing' gets 80 images of 160")
    assert "'cat'" in (found[0].effect or "")


def test_images_that_go_to_other_labels_than_are_named_are_counted() -> None:
    images = np.concatenate([near(n, 20 - n, spread=0.02) for n in range(5)])
    thing = AXES[:5].sum(axis=0)
    classes = unit([thing, *(AXES[5] + 0.1 * AXES[:5])])
    [found] = everywhere(["thing", "a", "b", "c", "d", "e"], images, Winners.of(images, classes))
    assert found.effect == "without it they go elsewhere: 20 to 'a', 19 to 'b', 18 to 'c', 33 to others"


def test_adding_child_moves_an_eighth_of_the_pictures() -> None:
    # As in OpenAI's post on CLIP: young people were called what they are not, for want of the label.
    labels, classes = ["thief", "ape", "grown-up"], unit([AXES[0] + 0.3 * AXES[3], AXES[1], AXES[2] + 0.1 * AXES[3]])
    images = np.concatenate([near(2, 700, seed=1), near(1, 175, seed=2), near(3, 125, seed=3)])
    words = ["child", "house", "tree"]
    [found] = missing(labels, classes, words, AXES[[3, 5, 6]], images)
    assert found.says == "125 images of 1,000 are far from all labels; nearest common words: child (125)"
    assert found.suggestion == "add 'child' if they are wanted"
    assert found.effect is not None
    assert found.effect.startswith("with them 125 images of 1,000 change their label: 125 to 'child'; most were 1")
    assert "of 'thief'" in found.effect


def test_of_many_words_that_are_missing_five_are_named_and_the_others_counted() -> None:
    images = np.concatenate([near(n, 20 - n, spread=0.01) for n in range(1, 8)])
    [found] = missing(["cat"], AXES[[0]], ["a", "b", "c", "d", "e", "f", "g"], AXES[1:], images)
    assert found.says.endswith("nearest common words: a (19), b (18), c (17), d (16), e (15) and 2 more")
    assert found.suggestion == "add 'a', 'b', 'c', 'd' and 'e' if they are wanted"


def test_where_all_words_mean_the_same_as_labels_none_is_missing() -> None:
    assert list(missing(["cat"], AXES[[0]], [], AXES[:0], near(1, 9))) == []


def test_words_that_few_images_are_near_are_not_missing() -> None:
    images = np.concatenate([near(0, 99), near(3, 2)])
    assert list(missing(["cat"], AXES[[0]], ["child", "house"], AXES[[3, 5]], images)) == []


def test_labels_are_suggested_for_clusters() -> None:
    images = np.concatenate([near(n, 10 + 10 * n, spread=0.05, seed=n) for n in range(3)])
    vocabulary = unit([*AXES[:3], AXES[0] + AXES[1] + AXES[2], AXES[5]])
    assert suggest(images, vocabulary) == [2, 1, 0]
    assert suggest(images, vocabulary) == suggest(images, vocabulary)


def test_two_clusters_do_not_get_one_name() -> None:
    images = np.concatenate([near(0, 30, spread=0.01), unit(near(0, 30, spread=0.01) + 0.8 * AXES[4])])
    assert suggest(images, unit([AXES[0], AXES[1] + 0.2 * AXES[4]])) == [0, 1]


def test_a_few_images_are_one_cluster() -> None:
    assert suggest(near(2, 3), AXES) == [2]


def test_findings_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = unit([AXES[0], AXES[0] + 0.3 * AXES[1], AXES[2], AXES[2] + 0.3 * AXES[3], -AXES[:6].sum(axis=0)])
    images = np.concatenate([near(n, 30, seed=n) for n in range(6)])
    labels = ["lorry", "truck", "dog", "hound", "cat"]

    def found() -> list[object]:
        winners = Winners.of(images, classes)
        return [
            *(winners.best.tolist(), winners.second.tolist(), winners.counts.tolist()),
            *alike(labels, classes, WORDS, winners),
            *never(labels, winners),
            *everywhere(labels, images, winners),
            *missing(labels, classes, ["child", "tree", "sea"], AXES[[4, 5, 7]], images),
        ]

    at_once = found()
    assert {one.kind for one in at_once if isinstance(one, Finding)} == {"alike", "never", "missing"}
    cosine = images @ classes.T
    assert at_once[:2] == np.argsort(-cosine, axis=1, kind="stable")[:, :2].T.tolist()
    for size in (1, 16, 100):
        monkeypatch.setattr(blocks, "_BLOCK", size)
        assert found() == at_once


def test_many_images_and_labels_take_little_memory() -> None:
    random = np.random.default_rng(0)
    images, classes, words = (unit(random.normal(size=(count, 8))) for count in (20_000, 1000, 1000))
    labels = [str(n) for n in range(1000)]
    tracemalloc.start()
    try:
        assert Winners.of(images, classes).counts.sum() == 20_000
        list(missing(labels, classes, labels, words, images))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All cosines are 80 MB, and their order is 160 MB.
    assert peak < 75e6
