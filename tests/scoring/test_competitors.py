"""Which words of the vocabulary compete with classes."""

from __future__ import annotations

import numpy as np
import pytest

from clipcli.scoring import blocks
from clipcli.scoring.competitors import competitors, near_synonym, nearest_neighbours

_WORDS = ["dog", "puppy", "car", "truck", "tree"]


def _units(degrees: list[float]) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


_EMBEDDINGS = _units([0, 20, 90, 130, 180])


def test_a_near_synonym_is_as_near_as_the_nearest_word_commonly_is() -> None:
    # The nearest words are 20, 20, 40, 40 and 50 degrees away.
    assert near_synonym(_EMBEDDINGS) == pytest.approx(np.cos(np.radians(40)), abs=1e-6)


def test_nearest_neighbours_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = np.cos(np.radians([20, 20, 40, 40, 50]))
    for size in (1, 10, 1000):
        monkeypatch.setattr(blocks, "_BLOCK", size)
        assert nearest_neighbours(_EMBEDDINGS) == pytest.approx(expected, abs=1e-6)


def test_names_and_near_synonyms_do_not_compete() -> None:
    # "hound" is 15 degrees from "dog" and 35 from "puppy": both are near; "Trees" is a tree wherever it lies.
    found = competitors(_WORDS, _EMBEDDINGS, names=["hound", "Trees"], class_embeddings=_units([-15, 300]))

    assert [_WORDS[n] for n in found] == ["car", "truck"]


def test_without_classes_all_words_compete() -> None:
    assert list(competitors(_WORDS, _EMBEDDINGS, names=[], class_embeddings=_EMBEDDINGS[:0])) == [0, 1, 2, 3, 4]
