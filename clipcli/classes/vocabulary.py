"""The generic vocabulary: about 1,200 common nouns for what photos show, to compare a user's own labels with.

The words are nouns of WordNet 3.0 (Fellbaum 1998), chosen by hand so that whatever is in a photo is near one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from clipcli.classes.normal_form import composed

_FILE = Path(__file__).with_suffix(".txt")
# Endings of plurals, with those of their singulars.
_PLURALS = (("ies", "y"), ("ves", "f"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss"), ("s", ""))


@cache
def vocabulary() -> tuple[str, ...]:
    """The words of the generic vocabulary, in lower case, each once."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def other_words(words: Sequence[str], names: Iterable[str]) -> list[int]:
    """The indices of the words that are none of the names, no kind of one, and nothing that one is a kind of.

    Names are the labels and aliases of classes. `car` is the same as `Cars`, `police car` is a kind of it, and it is
    what `red car` is a kind of: one ends with the words of the other.
    """
    ends = {_ending(name) for name in names}
    tails = {end[n:] for end in ends for n in range(len(end))}
    found = []
    for n, word in enumerate(words):
        end = _ending(word)
        if end not in tails and not any(end[k:] in ends for k in range(len(end))):
            found.append(n)
    return found


def _ending(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, the last in the singular."""
    parts = composed(name).casefold().replace("_", " ").replace("-", " ").split()
    return (*parts[:-1], _singular(parts[-1])) if parts else ()


def _singular(word: str) -> str:
    if len(word) > 3 and not word.endswith(("ss", "us", "is")):
        for plural, singular in _PLURALS:
            if word.endswith(plural):
                return word.removesuffix(plural) + singular
    return word
