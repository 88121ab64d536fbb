"""How right answers are counted, in numpy: top-k accuracy and retrieval recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.scoring.score import best

Array = NDArray[np.float32]
Places = NDArray[np.intp]
RECALLS = (1, 5, 10)
_ROWS = 1024


def top_k_accuracy(scores: NDArray[np.float32], truth: NDArray[np.intp], *, k: int) -> float:
    """The share of images whose true class is among the `k` best of `scores` `[N, C]`; `truth` is `[N]`.

    With fewer than `k` classes this is 1.
    """
    return float(top_k_hits(scores, truth, k=k).mean())


def top_k_hits(scores: NDArray[np.float32], truth: NDArray[np.intp], *, k: int) -> NDArray[np.bool_]:
    """For each image `[N]` whether its true class is among the `k` best of its scores."""
    hits: NDArray[np.bool_] = (best(scores, k) == truth[:, None]).any(axis=1)
    return hits


def recall_hits(
    queries: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    query_groups: NDArray[np.intp],
    target_groups: NDArray[np.intp],
    ks: Sequence[int],
) -> dict[int, NDArray[np.bool_]]:
    """For each `k` and each query of `queries` `[N, D]` whether a target of its own group is among the `k` nearest.

    `targets` are `[M, D]`; groups are ids `[N]` and `[M]`: an image and its captions share one. A query with several
    right targets counts once, as CLIP_benchmark counts it.
    """
    found: dict[int, list[NDArray[np.bool_]]] = {k: [] for k in ks}
    for start in range(0, len(queries), _ROWS):
        rows = slice(start, start + _ROWS)
        nearest = best(queries[rows] @ targets.T, max(ks))
        right = target_groups[nearest] == query_groups[rows, None]
        for k in ks:
            found[k].append(right[:, :k].any(axis=1))
    return {k: np.concatenate(parts) if parts else np.zeros(0, np.bool_) for k, parts in found.items()}


def recall_both_ways(
    images: Array, texts: Array, *, image_groups: Places, text_groups: Places
) -> dict[str, NDArray[np.bool_]]:
    """Whether each image `[N, D]` and each text `[T, D]` finds one of its own group, by the names of the figures.

    `image_to_text_recall@k` has a value for each image, `text_to_image_recall@k` for each text.
    """
    there = recall_hits(images, texts, query_groups=image_groups, target_groups=text_groups, ks=RECALLS)
    back = recall_hits(texts, images, query_groups=text_groups, target_groups=image_groups, ks=RECALLS)
    hits = {f"image_to_text_recall@{k}": found for k, found in there.items()}
    return hits | {f"text_to_image_recall@{k}": found for k, found in back.items()}
