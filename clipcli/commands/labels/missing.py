"""What no label says: images that are far from all labels, and the common words that are near them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.labels.findings import Finding, images
from clipcli.scoring.blocks import blocks, nearest

Array = NDArray[np.float32]
# A word is near an image if it is among this share of the words that are nearest to it.
_NEAR = 0.01
# Words are proposed as long as each is near this share of all images, and so many images at least.
_SHARE, _LEAST = 0.02, 3
_NAMED = 5
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
    if not len(words):
        return
    far, near = _near(embeddings, class_embeddings, vocabulary)
    common = _common_words(far, near, least=_least(len(embeddings)))
    if not common:
        return
    chosen, rest = common[:_NAMED], len(common) - _NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    named = ", ".join(f"{words[word]} ({number:,})" for word, number in chosen)
    quoted = [f"'{words[word]}'" for word, _ in chosen]
    yield Finding(
        "missing",
        (),
        f"{images(len(np.unique(far)))} of {len(embeddings):,} are far from all labels; nearest common words:"
        f" {named}{more}",
        f"add {' and '.join([', '.join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)} if they are wanted",
        _effect(labels, class_embeddings, words, vocabulary, embeddings, added=[word for word, _ in chosen]),
    )


def _least(count: int) -> int:
    return max(_LEAST, int(np.ceil(_SHARE * count)))


def _near(embeddings: Array, class_embeddings: Array, vocabulary: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The images that are far from all labels, each as often as there are words near it, and these words."""
    count = max(1, round(_NEAR * len(vocabulary)))
    found = []
    for rows in blocks(len(embeddings), width=len(vocabulary) + len(class_embeddings)):
        cosine = embeddings[rows] @ vocabulary.T
        limit = np.partition(cosine, -count, axis=1)[:, -count, None]
        best_label = (embeddings[rows] @ class_embeddings.T).max(axis=1, keepdims=True)
        far, near = np.nonzero((cosine >= limit) & (best_label < limit))
        found.append((far + rows.start, near))
    far, near = map(np.concatenate, zip(*found, strict=True))
    return far, near


def _common_words(far: NDArray[np.intp], near: NDArray[np.intp], *, least: int) -> list[tuple[int, int]]:
    """Words by index, each with the number of images that it is near and that no word before it is.

    `near` is a word that is near the image of the same place in `far`. Each word has `least` images.
    """
    chosen: list[tuple[int, int]] = []
    while len(near):
        counts = np.bincount(near)
        word = int(counts.argmax())
        if counts[word] < least:
            break
        chosen.append((word, int(counts[word])))
        others = ~np.isin(far, far[near == word])
        far, near = far[others], near[others]
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
    before = nearest(embeddings, class_embeddings)
    after = nearest(embeddings, np.concatenate([class_embeddings, vocabulary[added]]))
    moved = after >= len(labels)
    to = ", ".join(f"{(after == len(labels) + n).sum():,} to '{words[word]}'" for n, word in enumerate(added))
    losing = Counter(before[moved].tolist()).most_common(_SHOWN)
    of = ", ".join(f"{number:,} of '{labels[label]}'" for label, number in losing)
    return f"with them {images(int(moved.sum()))} of {len(moved):,} change their label: {to}; most were {of}"
