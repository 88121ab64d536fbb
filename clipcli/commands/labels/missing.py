"""What no label says: images that are far from all labels, and the common words that are near them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.labels.findings import Finding, images

Array = NDArray[np.float32]
# A word is near an image if it is among this share of the words that are nearest to it.
_NEAR = 0.01
# Words are proposed as long as each is near this share of all images, and so many images at least.
_SHARE, _LEAST = 0.02, 3
_MOST_WORDS = 5
_SHOWN = 3


def missing(
    labels: Sequence[str],
    class_embeddings: Array,
    words: Sequence[str],
    vocabulary: Array,
    embeddings: Array,
) -> Iterator[Finding]:
    """One finding if many of the images `[N, D]` are far from all labels, and have common words.

    An image is far if the words that are near it are all nearer than its best label. Of the `words`, with embeddings
    `[V, D]`, the one that is near most of these images comes first, then the one that is near most of the rest.
    """
    near = _near(embeddings, class_embeddings, vocabulary)
    far = np.asarray(near.any(axis=1))
    chosen = _common_words(near[far], least=_least(len(embeddings)))
    if not chosen:
        return
    named = ", ".join(f"{words[word]} ({number:,})" for word, number in chosen)
    quoted = [f"'{words[word]}'" for word, _ in chosen]
    yield Finding(
        "missing",
        (),
        f"{images(int(far.sum()))} of {len(far):,} are far from all labels; nearest common words: {named}",
        f"add {' and '.join([', '.join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)} if they are wanted",
        _effect(labels, class_embeddings, words, vocabulary, embeddings, added=[word for word, _ in chosen]),
    )


def _least(count: int) -> int:
    return max(_LEAST, int(np.ceil(_SHARE * count)))


def _near(embeddings: Array, class_embeddings: Array, vocabulary: Array) -> NDArray[np.bool_]:
    """Which words `[V]` are near each image: `[N, V]`, with none for an image that is not far from all labels."""
    cosine = embeddings @ vocabulary.T
    count = max(1, round(_NEAR * len(vocabulary)))
    nearest = np.partition(cosine, -count, axis=1)[:, -count, None]
    best_label = (embeddings @ class_embeddings.T).max(axis=1, keepdims=True)
    near: NDArray[np.bool_] = (cosine >= nearest) & (best_label < nearest)
    return near


def _common_words(near: NDArray[np.bool_], *, least: int) -> list[tuple[int, int]]:
    """Words by index, each with the number of images that it is near and that no word before it is.

    `near` `[F, V]` is which words are near which image. Each word has `least` images.
    """
    near = near.copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < _MOST_WORDS:
        counts = near.sum(axis=0)
        word = int(counts.argmax())
        if counts[word] < least:
            break
        chosen.append((word, int(counts[word])))
        near[near[:, word]] = False
    return chosen


def _effect(
    labels: Sequence[str],
    class_embeddings: Array,
    words: Sequence[str],
    vocabulary: Array,
    embeddings: Array,
    *,
    added: Sequence[int],
) -> str:
    """How many images would change their label if these words were labels too, and which labels they have now."""
    before = (embeddings @ class_embeddings.T).argmax(axis=1)
    after = (embeddings @ np.concatenate([class_embeddings, vocabulary[added]]).T).argmax(axis=1)
    moved = after >= len(labels)
    to = ", ".join(f"{(after == len(labels) + n).sum():,} to '{words[word]}'" for n, word in enumerate(added))
    losing = Counter(before[moved].tolist()).most_common(_SHOWN)
    of = ", ".join(f"{number:,} of '{labels[label]}'" for label, number in losing)
    return f"with them {images(int(moved.sum()))} of {len(moved):,} change their label: {to}; most were {of}"
