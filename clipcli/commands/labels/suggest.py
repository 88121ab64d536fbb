"""Proposes labels for images that have none: clusters of their embeddings, named by common words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# The numbers of clusters that are tried: the one whose clusters are farthest apart is taken.
_NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40)
# So many images a cluster on average, or more.
_LEAST = 3
# The number of clusters is chosen on so many images at most.
_SAMPLE = 2000
# The share of a word's nearness to all images that does not speak for it.
_COMMON = 0.5
_SEED = 0


def suggest(embeddings: Array, vocabulary: Array) -> list[int]:
    """The words to take as labels for images `[N, D]`, by their index in the `vocabulary` `[V, D]`, most images first.

    Images are clustered by k-means; the number of clusters is chosen by their silhouette (Rousseeuw 1987). The name of
    a cluster is the word that is nearest to its images, where words that are near to all images count less.
    """
    clusters = _clusters(embeddings)
    common = _COMMON * (vocabulary @ embeddings.mean(axis=0))
    names: list[int] = []
    for n in np.argsort(-np.bincount(clusters), kind="stable"):
        order = np.argsort(common - vocabulary @ embeddings[clusters == n].mean(axis=0), kind="stable")
        names.append(next(int(word) for word in order if word not in names))
    return names


def _clusters(embeddings: Array) -> NDArray[np.intp]:
    """The cluster `[N]` of each image, from 0 on without gaps."""
    from sklearn.cluster import KMeans

    def fitted(number: int, some: Array) -> KMeans:
        return KMeans(number, n_init=3, random_state=_SEED).fit(some)

    sample = embeddings[np.random.default_rng(_SEED).permutation(len(embeddings))[:_SAMPLE]]
    numbers = [number for number in _NUMBERS if number * _LEAST <= len(sample)]
    if not numbers:
        return np.zeros(len(embeddings), np.intp)
    best = max(numbers, key=lambda number: _silhouette(sample, fitted(number, sample).labels_))
    clusters: NDArray[np.intp] = np.unique(fitted(best, embeddings).labels_, return_inverse=True)[1]
    return clusters


def _silhouette(embeddings: Array, clusters: NDArray[np.intp]) -> float:
    """How far clusters are apart, from -1 to 1; -1 if all images are in one."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(embeddings, clusters)) if len(set(clusters.tolist())) > 1 else -1.0
