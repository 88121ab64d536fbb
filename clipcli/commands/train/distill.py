"""Holds texts near the embeddings that the starting model gives them, so that training forgets less.

A step adds the mean squared distance of some texts' embeddings from those of the start, as in learning without
forgetting (Li and Hoiem 2016) and the distillation of embeddings. The texts are the common words of the generic
vocabulary, in the prompts of the run: where images keep their embeddings, what the model knew of other classes is lost
by what becomes of their texts, and needs no other images to be kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipcli.backbones.backbone import Tokenizer
from clipcli.backbones.towers import Towers
from clipcli.classes.prompts import load_prompts
from clipcli.classes.vocabulary import other_words, vocabulary

# Texts of a step, and prompts of each word whose embeddings are known.
TEXTS, _PROMPTS_OF_A_WORD = 128, 4
_SEED = 4


@dataclass(frozen=True, slots=True)
class Distillation:
    """Token ids `[A, L]` of texts, the embeddings `[A, D]` to hold them to, and how much they count."""

    tokens: Tensor
    embeddings: Tensor
    weight: float

    def add_gradient(self, towers: Towers, *, seed: int, step: int) -> None:
        """Add the gradient of the distance of a step's texts to the weights' `grad`, the same in all processes."""
        rng = np.random.default_rng([seed, _SEED, step])
        drawn = torch.from_numpy(rng.permutation(len(self.tokens))[:TEXTS]).to(self.embeddings.device)
        moved = towers.encode_text(self.tokens[drawn]) - self.embeddings[drawn]
        parameters = [p for p in towers.parameters() if p.requires_grad]
        # Not `backward`: several processes would average these gradients a second time.
        gradients = torch.autograd.grad(self.weight * moved.square().sum(dim=1).mean(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def distillation(
    towers: Towers, tokenizer: Tokenizer, *, weight: float, prompts: str, names: Iterable[str]
) -> Distillation:
    """Hold the towers' texts to the embeddings that they have now, but for words that mean the same as one of `names`.

    Those are the classes of DATA, which shall move.
    """
    templates, rng = load_prompts(prompts).templates, np.random.default_rng(_SEED)
    words = vocabulary()
    texts = [
        templates[n].replace("{}", words[word])
        for word in other_words(words, names)
        for n in rng.permutation(len(templates))[:_PROMPTS_OF_A_WORD]
    ]
    tokens = tokenizer(texts)
    with torch.no_grad():
        embeddings = towers.encode_texts(tokens)
    return Distillation(tokens.to(embeddings.device), embeddings.clone(), weight)
