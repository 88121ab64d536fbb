"""The generic vocabulary."""

from __future__ import annotations

import pytest

from clipcli.classes.vocabulary import other_words, vocabulary


def test_the_vocabulary_has_about_a_thousand_words_each_once_in_lower_case() -> None:
    words = vocabulary()

    assert 1000 <= len(words) <= 1300
    assert len(set(words)) == len(words)
    assert all(word == word.lower().strip() and word for word in words)
    assert {"dog", "mountain", "pizza", "police officer", "rain", "armchair"} <= set(words)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("Dogs", {"dog", "hot dog"}),
        ("sports_car", {"car", "sports car"}),
        ("T-shirt", {"shirt"}),
        ("berries", {"berry"}),
        ("glass", {"glass"}),
        ("", set()),
    ],
)
def test_words_of_a_name_and_its_kinds_are_left_out(name: str, left_out: set[str]) -> None:
    words = ["dog", "hot dog", "dogma", "car", "sports car", "police car", "shirt", "berry", "glass", "gla"]

    assert {word for n, word in enumerate(words) if n not in other_words(words, [name])} == left_out
