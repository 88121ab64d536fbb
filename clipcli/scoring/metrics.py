"""Top-k accuracy and retrieval recall, in numpy."""

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
    """The share of images, from 0 to 1, whose true class is among the `k` best of `scores` `[N, C]`.

    `truth` `[N]` are class indices. With `k` classes or fewer the share is 1. `N` must not be 0.
    """
    return float(top_k_hits(scores, truth, k=k).mean())


def top_k_hits(scores: NDArray[np.float32], truth: NDArray[np.intp], *, k: int) -> NDArray[np.bool_]:
    """True for each image `[N]` whose true class is among the `k` best of its scores; arguments as `top_k_accuracy`."""
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
    """For each `k`, mark the queries `[N]` that have a target of their own group among their `k` nearest targets.

    `queries` are `[N, D]` and `targets` `[M, D]`. Groups are ids `[N]` and `[M]`: an image and its captions share one.
    A query with several right targets counts once, as in CLIP_benchmark.
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
    """Recall at 1, 5 and 10 in both directions: hits by metric, of images `[N, D]` and texts `[T, D]`.

    `image_to_text_recall@k` `[N]` has a value for each image, `text_to_image_recall@k` `[T]` for each text. Groups are
    as in `recall_hits`.
    """
    image_to_text = recall_hits(images, texts, query_groups=image_groups, target_groups=text_groups, ks=RECALLS)
    text_to_image = recall_hits(texts, images, query_groups=text_groups, target_groups=image_groups, ks=RECALLS)
    hits = {f"image_to_text_recall@{k}": found for k, found in image_to_text.items()}
    return hits | {f"text_to_image_recall@{k}": found for k, found in text_to_image.items()}
