"""Texts to learn from, with MiniLM's embeddings of them: words, sentences and captions; and what nouns look like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Array = NDArray[np.float32]
_ARRAYS = ("spelt", "meant", "nouns", "shares", "known")


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts to learn from, each once, `T` of them; other fields refer to them by their indices.

    `spelt` are MiniLM's embeddings `[T, 384]` of the texts as they are. `meant` are those of what nouns mean, and of
    other texts again as they are. `classes` are the names of each of ImageNet's 1,000 classes, the most usual first.
    `kinds` are the names of several classes together, such as "dog", with these classes. Images of the `nouns` `[N]`
    would be taken for the classes by the `shares` `[N, 1000]`, as far as that is `known` `[N]`, from 0 to 1. `words`
    are words that are no nouns, `meanings` the sentences of WordNet, and `captions` those of each image, by the name of
    their data.
    """

    texts: list[str]
    spelt: Array
    meant: Array
    classes: list[list[int]]
    kinds: list[tuple[list[int], list[int]]]
    nouns: NDArray[np.int64]
    shares: NDArray[np.float16]
    known: Array
    words: list[int]
    meanings: list[int]
    captions: dict[str, list[list[int]]]

    def save(self, folder: Path) -> None:
        """Write them into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        fields: dict[str, Any] = asdict(self)
        save_file({name: fields.pop(name) for name in _ARRAYS}, folder / "arrays.safetensors")
        (folder / "texts.json").write_text(json.dumps(fields))

    @classmethod
    def load(cls, folder: Path) -> Texts:
        """Read what `save` wrote."""
        fields: dict[str, Any] = json.loads((folder / "texts.json").read_text())
        return cls(**fields | load_file(folder / "arrays.safetensors"))


class Numbers:
    """Numbers texts, each once, in lower case: neither MiniLM nor CLIP's tokenizer tells the cases apart."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, *texts: str) -> list[int]:
        return [self._numbers.setdefault(text.lower(), len(self._numbers)) for text in texts]

    def texts(self) -> list[str]:
        """The texts by their numbers."""
        return list(self._numbers)


class MiniLM:
    """The embeddings of all-MiniLM-L6-v2: the mean of its last states, L2-normalised."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._model = transformers.AutoModel.from_pretrained(folder).eval()

    def __call__(self, texts: Sequence[str]) -> Array:
        """Embed texts as `[N, 384]`, those of similar length together."""
        import torch
        from torch.nn import functional

        embeddings = np.zeros((len(texts), 384), np.float32)
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        for part in (order[first : first + 256] for first in range(0, len(order), 256)):
            given = [texts[n] for n in part]
            tokens = self._tokenizer(given, padding=True, truncation=True, max_length=64, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**tokens).last_hidden_state
                mask = tokens["attention_mask"][:, :, None]
                embeddings[part] = functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        return embeddings
