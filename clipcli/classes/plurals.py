"""What an English noun may be the plural of."""

from __future__ import annotations

# Endings of plurals, with those of their singulars: as WordNet's Morphy has them, and those of tomatoes and knives.
_PLURALS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("oes", "o"),
    ("ves", "f"),
    ("ves", "fe"),
    ("ies", "y"),
    ("men", "man"),
)


def singulars(noun: str) -> tuple[str, ...]:
    """A noun in lower case as it is, then what it may be the plural of: `gloves` of `glove`, `glof` and `glofe`.

    Only one of them is a word, as a rule, so two nouns are the same if they have one of them in common.
    """
    if noun.endswith("ss"):
        return (noun,)
    return (noun, *(noun.removesuffix(end) + one for end, one in _PLURALS if noun.endswith(end)))
