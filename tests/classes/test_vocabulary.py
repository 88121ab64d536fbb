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
        ("gloves", {"glove"}),
        ("movies", {"movie"}),
        ("knives", {"knife"}),
        ("buses", {"bus"}),
        ("bus", {"bus"}),
        ("tomatoes", {"tomato"}),
        ("capes", {"cape"}),
        ("fireman", {"firemen"}),
        ("", set()),
    ],
)
def test_words_of_a_name_and_its_kinds_are_left_out(name: str, left_out: set[str]) -> None:
    words = ["dog", "hot dog", "dogma", "car", "sports car", "police car", "shirt", "berry", "glass", "gla"]
    words += ["glove", "movie", "knife", "bus", "tomato", "cape", "cap", "firemen"]

    assert {word for n, word in enumerate(words) if n not in other_words(words, [name])} == left_out


def _plural(noun: str) -> str:
    """The regular plural, with -ves and -oes where English has them most often."""
    for end, plural in (("man", "men"), ("fe", "ves"), ("lf", "lves"), ("af", "aves")):
        if noun.endswith(end):
            return noun.removesuffix(end) + plural
    if noun.endswith(("s", "x", "z", "ch", "sh")) or (noun.endswith("o") and noun[-2] not in "aeiou"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def test_every_word_is_the_same_as_its_plural() -> None:
    words = vocabulary()
    assert [word for word in words if other_words([word], [_plural(word)])] == []
    assert [word for word in words if other_words([_plural(word)], [word])] == []
