"""The generic vocabulary: about 1,200 common nouns for what photos show, to compare a user's own labels with.

The words are nouns of WordNet 3.0 (Fellbaum 1998), chosen by hand so that whatever is in a photo is near one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cache
from pathlib import Path

from clipcli.classes.normal_form import composed
from clipcli.classes.plurals import singulars

_FILE = Path(__file__).with_suffix(".txt")


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
    ends = {end for name in names for end in _endings(name)}
    tails = {end[n:] for end in ends for n in range(len(end))}
    return [n for n, word in enumerate(words) if not any(_meets(end, ends, tails) for end in _endings(word))]


def _meets(end: tuple[str, ...], ends: Set[tuple[str, ...]], tails: Set[tuple[str, ...]]) -> bool:
    return end in tails or any(end[n:] in ends for n in range(len(end)))


def _endings(name: str) -> Iterator[tuple[str, ...]]:
    """The words of a name in lower case, the last as it is, and as each that it may be the plural of."""
    *before, last = composed(name).casefold().replace("_", " ").replace("-", " ").split() or [""]
    return ((*before, one) for one in singulars(last) if one)
