"""Reads the nouns of WordNet 3.0: their senses (synsets), and what is a kind of what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The lexicographers' file of people: anyone in a photo is one, and no class of ImageNet says so.
_PEOPLE = "18"
# Endings of plurals, with those of their singulars.
_PLURALS = (("ies", "y"), ("ses", "s"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", ""))


@dataclass(frozen=True, slots=True)
class Synset:
    """A sense: the nouns that have it, the senses above it, and what it means, in a few words."""

    nouns: tuple[str, ...]
    above: tuple[str, ...]
    meaning: str
    is_person: bool

    def __str__(self) -> str:
        return f"{', '.join(self.nouns[:3])}: {self.meaning}"


class WordNet:
    """The nouns of WordNet, from the folder of its files. Synsets are named by their offsets, as ImageNet does."""

    def __init__(self, folder: Path) -> None:
        self.synsets = dict(_synsets(folder / "data.noun"))
        self._senses = dict(_senses(folder / "index.noun"))
        lines = (folder / "noun.exc").read_text(encoding="utf-8").splitlines()
        self._irregular = {plural: singular for plural, singular, *_ in map(str.split, lines)}

    def senses(self, noun: str) -> list[str]:
        """The synsets of a noun, the most frequent first; those of its singular after them."""
        forms = [form for form in _forms(noun.lower().replace(" ", "_"), self._irregular) if form in self._senses]
        return list(dict.fromkeys(sense for form in forms for sense in self._senses[form]))

    def nouns(self) -> list[str]:
        """All nouns, each once."""
        return list(dict.fromkeys(noun for synset in self.synsets.values() for noun in synset.nouns))

    def upwards(self, sense: str) -> Iterator[list[str]]:
        """The sense itself, those above it, those above these, and so on, each once."""
        level, seen = [sense], {sense}
        while level:
            yield level
            above = dict.fromkeys(one for sense in level for one in self.synsets[sense].above if one not in seen)
            level = list(above)
            seen.update(level)


def _synsets(path: Path) -> Iterator[tuple[str, Synset]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue  # The licence.
        facts, _, gloss = line.partition(" | ")
        offset, lexicographer, _, count, *words = facts.split()
        size = int(count, 16)
        pointers = words[2 * size + 1 :]
        kinds = zip(pointers[0::4], pointers[1::4], pointers[2::4], strict=False)
        yield (
            offset,
            Synset(
                nouns=tuple(word.replace("_", " ") for word in words[: 2 * size : 2]),
                above=tuple(to for kind, to, part in kinds if kind in ("@", "@i") and part == "n"),
                meaning=gloss.split(";")[0].strip(),
                is_person=lexicographer == _PEOPLE,
            ),
        )


def _senses(path: Path) -> Iterator[tuple[str, list[str]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            noun, _, _, pointers, *rest = line.split()
            yield noun, rest[int(pointers) + 2 :]


def _forms(noun: str, irregular: dict[str, str]) -> list[str]:
    forms = [noun, *([irregular[noun]] if noun in irregular else [])]
    if len(noun) > 3 and not noun.endswith("ss"):
        forms += [noun.removesuffix(plural) + singular for plural, singular in _PLURALS if noun.endswith(plural)]
    return forms
