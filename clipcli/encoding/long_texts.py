"""Texts that are longer than a model's context: found, and encoded in parts that overlap.

A tokenizer cuts what does not fit, so that two descriptions that differ after the cut would have one embedding. Here
the embedding of a long text is the mean of those of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from clipcli.backbones.encoders import TextEncoder

# The tokens that tokenizers put around a text, at most.
_MARKS = 4


def encode_whole(texts: Sequence[str], *, backbone: TextEncoder) -> NDArray[np.float32]:
    """Embeddings `[B, D]` of texts of any length, L2-normalised float32."""
    embeddings = backbone.embed_texts(texts)
    for n in too_long(texts, tokenizer=backbone.tokenizer):
        parts = backbone.embed_texts(overlapping_parts(texts[n], tokenizer=backbone.tokenizer))
        [embeddings[n]] = backbone.normalised_means([parts])
    return embeddings


def too_long(texts: Sequence[str], *, tokenizer: Callable[..., Any]) -> list[int]:
    """The numbers of the texts that the tokenizer cuts."""
    empty = tokenizer([""])[0]
    context, padding = len(empty), empty[-1]
    # A token is a byte at least, beside those at the beginning and the end, so that most texts need not be looked at.
    may_be = [n for n, text in enumerate(texts) if len(text.encode("utf-8", "surrogatepass")) > context - _MARKS]
    if not may_be:
        return []
    some = [texts[n] for n in may_be]
    lengths, longer = ((tokens != padding).sum(1) for tokens in (tokenizer(some), tokenizer(some, context + 1)))
    return [n for n, cut in zip(may_be, (longer > lengths).tolist(), strict=True) if cut]


def overlapping_parts(text: str, *, tokenizer: Callable[..., Any]) -> list[str]:
    """The text in parts of whole words that fit, each beginning in the middle of the one before.

    A word that is too long by itself is a part, and is cut.
    """
    words = text.split()
    parts: list[str] = []
    start = 0
    while start < len(words):
        end = _longest(words, start, tokenizer)
        parts.append(" ".join(words[start:end]))
        if end == len(words):
            break
        start = max(start + 1, (start + end) // 2)
    return parts or [text]


def _longest(words: Sequence[str], start: int, tokenizer: Callable[..., Any]) -> int:
    """The end of the longest part that begins with the word `start` and fits; at least one word."""
    fits, end = start + 1, len(words) + 1
    while end - fits > 1:
        middle = (fits + end) // 2
        if too_long([" ".join(words[start:middle])], tokenizer=tokenizer):
            end = middle
        else:
            fits = middle
    return fits
