"""How right answers are counted, in numpy: top-k accuracy and retrieval recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.score import best

_ROWS = 1024


def top_k_accuracy(scores: NDArray[np.float32], truth: NDArray[np.intp], *, k: int) -> float:
    """The share of images whose true class is among the `k` best of `scores` `[N, C]`; `truth` is `[N]`.

    With fewer than `k` classes this is 1.
    """
    return float((best(scores, k) == truth[:, None]).any(axis=1).mean())


def recall_at(
    queries: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    query_groups: NDArray[np.intp],
    target_groups: NDArray[np.intp],
    ks: Sequence[int],
) -> dict[int, float]:
    """For each `k` the share of queries `[N, D]` with a target `[M, D]` of their own group among the `k` nearest.

    Groups are ids `[N]` and `[M]`: an image and its captions share one. A query with several right targets counts
    once, as CLIP_benchmark counts it.
    """
    found = dict.fromkeys(ks, 0)
    for start in range(0, len(queries), _ROWS):
        rows = slice(start, start + _ROWS)
        nearest = best(queries[rows] @ targets.T, max(ks))
        right = target_groups[nearest] == query_groups[rows, None]
        for k in ks:
            found[k] += int(right[:, :k].any(axis=1).sum())
    return {k: count / len(queries) for k, count in found.items()}
