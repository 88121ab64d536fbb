"""Batches of texts as the text tower's tokens: nouns in the templates of prompts, sentences, captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from teacher import noun_odds
from texts import Texts
from torch import Tensor, nn

from clipcli.classes.prompts import load_prompts

BATCH = 768
# How often a noun or a word stands alone and not in a template.
_ALONE = 0.4
# How much more often the names of classes are drawn than other nouns.
_NAMES = 4
# Texts of similar length are encoded together: a batch in so many parts.
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Texts with the odds of each, their share of a batch, and whether they go into templates."""

    texts: NDArray[np.int64]
    odds: NDArray[np.float64] | None
    share: float
    in_templates: bool


class Lines:
    """Draws batches of texts. `seen` `[V]` are the tokens of the vocabulary that were in any of them."""

    def __init__(self, texts: Texts, *, context: int) -> None:
        self._texts, self._context = texts.texts, context
        self._tokenizer = open_clip.SimpleTokenizer()
        self._random = np.random.default_rng(0)
        self._tokens: dict[int, list[int]] = {}
        templates = (template.split("{}") for template in load_prompts("imagenet").templates)
        self._templates = [(self._encode(before), self._encode(after)) for before, after in templates]
        captions = np.array([n for images in texts.captions.values() for each in images for n in each])
        nouns, words, meanings = (texts.nouns, self._odds(texts)), np.array(texts.words), np.array(texts.meanings)
        self._groups: tuple[Group, ...] = (
            Group(*nouns, 0.6, True),
            Group(words, None, 0.1, True),
            Group(captions, None, 0.15, False),
            Group(meanings, None, 0.15, False),
        )
        self._everyday = (
            Group(names(texts), None, 0.3, True),
            Group(self._common(texts), None, 0.3, True),
            Group(*nouns, 0.1, True),
            Group(words, None, 0.05, True),
            Group(captions, None, 0.15, False),
            Group(meanings, None, 0.1, False),
        )
        self.seen = torch.zeros(self._tokenizer.vocab_size, dtype=torch.bool)

    def turn_to_everyday_words(self) -> None:
        """From now on draw names of classes and kinds, and common nouns, far more often."""
        self._groups = self._everyday

    def draw(self) -> tuple[list[Tensor], NDArray[np.int64]]:
        """The tokens of a batch in parts, each `[B, L]`, and the numbers of their texts in the same order."""
        numbers: list[int] = []
        lines: list[list[int]] = []
        for group in self._groups:
            drawn = self._random.choice(group.texts, int(BATCH * group.share), p=group.odds).tolist()
            numbers += drawn
            lines += [self._line(n, group.in_templates and self._random.random() > _ALONE) for n in drawn]
        parts = np.array_split(np.argsort([len(line) for line in lines]), _PARTS)
        tokens = [padded([lines[n] for n in part]) for part in parts]
        for part in tokens:
            self.seen[part] = True
        return tokens, np.array(numbers)[np.concatenate(parts)]

    def _line(self, n: int, in_template: bool) -> list[int]:
        if n not in self._tokens:
            self._tokens[n] = self._encode(self._texts[n])
        before, after = self._templates[self._random.integers(len(self._templates))] if in_template else ([], [])
        tokens = [*before, *self._tokens[n], *after][: self._context - 2]
        return [self._tokenizer.sot_token_id, *tokens, self._tokenizer.eot_token_id]

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text)
        return tokens

    def _common(self, texts: Texts) -> NDArray[np.int64]:
        """The nouns that are one token."""
        common: NDArray[np.int64] = np.array(
            [n for n in texts.nouns if f"{texts.texts[n]}</w>" in self._tokenizer.encoder]
        )
        return common

    @staticmethod
    def _odds(texts: Texts) -> NDArray[np.float64]:
        """The odds of each noun: the names of classes and common nouns more often than rare ones."""
        of_classes = {n for own in texts.classes for n in own}
        often = np.where([n in of_classes for n in texts.nouns], _NAMES, 1)
        odds: NDArray[np.float64] = 1 + noun_odds(texts).double().numpy() * often
        odds /= odds.sum()
        return odds


def names(texts: Texts) -> NDArray[np.int64]:
    """The names of all classes and kinds."""
    of_classes = {n for own in texts.classes for n in own}
    return np.array(sorted(of_classes | {n for _, own in texts.kinds for n in own}))


def padded(lines: Sequence[list[int]]) -> Tensor:
    """Tokens `[B, L]`, with zeros after those of shorter lines."""
    return nn.utils.rnn.pad_sequence([torch.tensor(line) for line in lines], batch_first=True)
