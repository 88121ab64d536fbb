"""Compares many embeddings with many others in blocks of rows, so that memory stays small."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# Numbers in a block.
_BLOCK = 1 << 22


def blocks(count: int, *, width: int) -> Iterator[slice]:
    """Slices of `count` rows, each with so few that a block of this width fits in little memory."""
    size = max(1, _BLOCK // max(1, width))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def nearest(embeddings: Array, others: Array) -> NDArray[np.intp]:
    """Which of the `others` `[M, D]` is nearest to each embedding `[N, D]`; among equals the earlier one."""
    found = np.empty(len(embeddings), np.intp)
    for rows in blocks(len(embeddings), width=len(others)):
        found[rows] = (embeddings[rows] @ others.T).argmax(axis=1)
    return found
