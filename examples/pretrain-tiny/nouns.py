"""What nouns mean, and which of ImageNet's classes their images would be taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from texts import Array
from torch.nn import functional
from wordnet import WordNet

# A noun's senses count by their frequency, by how near MiniLM has the bare noun to them, and one with a class of
# ImageNet three times: photos are of things. One of people counts little: primates are archbishops in WordNet, too.
_SENSES, _NEARNESS, _IN_IMAGENET, _PERSON = (1.0, 0.4, 0.2, 0.1), 0.1, 3.0, 0.1
# What it adds to the similarity with a class if WordNet has both below the same near sense, and how much less a step
# further up; above so many classes a sense says nothing.
_RELATED, _PER_STEP, _MOST_RELATED = 0.15, 0.8, 150
# Nouns are averaged over so many of similar spelling; a similarity that is higher by this has e times the weight.
_NEIGHBOURS, _PER_NEIGHBOUR = 32, 0.1
# Below the first similarity to the nearest class nothing is known of what a noun looks like; above the second, all.
_UNLIKE, _LIKE = 0.4, 0.65


@dataclass(frozen=True, slots=True)
class Noun:
    """What a noun means `[384]`, the classes that its images would be taken for `[1000]`, and how far that is known."""

    meaning: Array
    shares: NDArray[np.float16]
    known: float


class Nouns:
    """Nouns by their senses.

    `meanings` are MiniLM's embeddings of what WordNet says about each synset, `classes` the synsets of ImageNet's
    classes in the order of the image tower's head, and `below` the classes at or below each synset.
    """

    def __init__(
        self,
        wordnet: WordNet,
        meanings: Mapping[str, Array],
        classes: Sequence[str],
        below: Mapping[str, set[int]],
    ) -> None:
        self._wordnet, self._meanings, self._below = wordnet, meanings, below
        self._classes = np.stack([meanings[synset] for synset in classes])
        self._looks: dict[str, tuple[Array, float, bool]] = {}

    def of_class(self, n: int) -> Noun:
        """The name of a class: it means nothing else."""
        return Noun(self._classes[n], np.eye(len(self._classes), dtype=np.float16)[n], 1.0)

    def of_noun(self, text: str, spelt: Array) -> Noun | None:
        """A noun by up to four senses, given MiniLM's embedding of it; `None` if it has none."""
        senses = self._wordnet.senses(text)[: len(_SENSES)]
        if not senses:
            return None
        meanings = np.stack([self._meanings[sense] for sense in senses])
        looks = [self._look(sense) for sense in senses]
        nearness = meanings @ spelt
        weights = np.array(_SENSES[: len(senses)], np.float32) * np.exp((nearness - nearness.max()) / _NEARNESS)
        weights *= [(_IN_IMAGENET if inside else 1) * (0.15 + known) for _, known, inside in looks]
        # Anyone in a photo is a person, and what ImageNet has are three costumes: those say nothing of what one sees.
        people = np.array([self._wordnet.synsets[sense].is_person for sense in senses])
        people &= [not inside for *_, inside in looks]
        weights[people] *= _PERSON
        weights /= weights.sum()
        meaning = weights @ meanings
        things = np.where(people, 0, weights)
        shares = things @ np.stack([share for share, *_ in looks]) / max(things.sum(), 1e-6)
        known = float(things @ [known for _, known, _ in looks])
        return Noun(meaning / np.linalg.norm(meaning), shares.astype(np.float16), known)

    def _look(self, sense: str) -> tuple[Array, float, bool]:
        """The classes that a sense looks like, how far that is known, and whether ImageNet has it."""
        if sense not in self._looks:
            self._looks[sense] = self._look_anew(sense)
        return self._looks[sense]

    def _look_anew(self, sense: str) -> tuple[Array, float, bool]:
        similar = self._classes @ self._meanings[sense]
        related, steps = self._related(sense)
        if related and not steps:
            shares = np.zeros_like(similar)
            shares[related] = np.exp((similar[related] - similar[related].max()) / 0.3)
            return shares / shares.sum(), 1.0, True
        if related and len(related) <= _MOST_RELATED:
            similar[related] += _RELATED * _PER_STEP ** (steps - 1)
        nearest = similar.max()
        shares = np.exp((similar - nearest) / 0.04)
        shares[shares < 0.03] = 0
        return shares / shares.sum(), float(np.clip((nearest - _UNLIKE) / (_LIKE - _UNLIKE), 0, 1)), False

    def _related(self, sense: str) -> tuple[list[int], int]:
        """The classes below the nearest sense above this one that has any, and the steps to it, at most four."""
        for steps, level in zip(range(5), self._wordnet.upwards(sense), strict=False):
            found = set[int]().union(*(self._below.get(synset, ()) for synset in level))
            if found:
                return sorted(found), steps
        return [], 0


def blended(spelt: Array, meant: Array, *, kept: Sequence[bool]) -> Array:
    """What nouns mean `[N, 384]`, averaged over nouns of similar spelling, but for those `kept` as they are."""
    keys, values = torch.from_numpy(spelt), torch.from_numpy(meant)
    found = values.clone()
    for part in torch.split((~torch.tensor(kept)).nonzero().flatten(), 4000):
        similar, nearest = (keys[part] @ keys.T).topk(min(_NEIGHBOURS, len(keys)))
        weights = (similar / _PER_NEIGHBOUR).softmax(1)
        found[part] = functional.normalize((weights[:, :, None] * values[nearest]).sum(1), dim=-1)
    return found.numpy()
