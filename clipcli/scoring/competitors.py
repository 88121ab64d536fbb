"""Which words of the generic vocabulary compete with a user's classes: all but those that mean the same as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.vocabulary import other_words
from clipcli.scoring.blocks import blocks

Float32Array = NDArray[np.float32]


def competitors(
    words: Sequence[str], embeddings: Float32Array, *, names: Iterable[str], class_embeddings: Float32Array
) -> NDArray[np.intp]:
    """The indices, ascending, of the vocabulary's `words` that mean something else than every class.

    `embeddings` `[V, D]` are those of the words and `class_embeddings` `[C, D]` those of the classes, by the same
    prompts; `names` are the labels and aliases. Words that share a name with a class are left out, and words that
    are as near to one as the nearest neighbour of a word commonly is: how near that is depends on the model.
    """
    others = np.array(other_words(words, names), dtype=np.intp)
    nearest = (embeddings @ class_embeddings.T).max(axis=1) if len(class_embeddings) else np.zeros(len(words))
    found: NDArray[np.intp] = others[nearest[others] < near_synonym(embeddings)]
    return found


def near_synonym(embeddings: Float32Array) -> float:
    """The cosine from which on two texts are near synonyms: the median cosine of a word and its nearest neighbour.

    `embeddings` `[V, D]` are those of the vocabulary. As a cosine that depends on the vocabulary and the model alone,
    it fits models whose texts are all alike (CLIP's are above 0.6) as well as others.
    """
    return float(np.median(nearest_neighbours(embeddings)))


def nearest_neighbours(embeddings: Float32Array) -> Float32Array:
    """The cosine `[V]` of each of two or more embeddings `[V, D]` to its nearest neighbour."""
    nearest = np.empty(len(embeddings), dtype=np.float32)
    for rows in blocks(len(embeddings), width=len(embeddings)):
        cosines = embeddings[rows] @ embeddings.T
        cosines[np.arange(len(cosines)), rows.start + np.arange(len(cosines))] = -1
        nearest[rows] = cosines.max(axis=1)
    return nearest
