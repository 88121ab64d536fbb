"""The photos that are nearest to what is looked for: exact, by the cosine to every embedding."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.find.library import Part
from clipcli.records import ImageItem

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """A photo that was found, by its `path` as users see it; `score` is a cosine, from -1 to 1."""

    path: str
    score: float
    item: ImageItem


def search(
    parts: Sequence[Part], query: Array, *, top: int | None, min_score: float | None, but: frozenset[str] = frozenset()
) -> list[Hit]:
    """The photos nearest to the `query` `[D]`, best first, each once: `top` of them, or all that reach `min_score`.

    The files in `but`, by their real paths, are left out.
    """
    scores = np.concatenate([part.embeddings @ query for part in parts])
    least = -np.inf if min_score is None else min_score
    hits: list[Hit] = []
    seen: set[str] = set()
    for n in _best_first(scores, count=None if top is None else top + len(but)):
        if scores[n] < least or (top is not None and len(hits) == top):
            break
        item = _item(parts, n)
        is_new = item.id not in seen and not (but and os.path.realpath(item.file or "") in but)
        seen.add(item.id)
        if is_new:
            hits.append(Hit(item.id, float(scores[n]), item))
    return hits


def _best_first(scores: Array, *, count: int | None) -> Iterator[int]:
    """The places of the scores, highest first, equal ones in order. The first `count` are found without sorting all."""
    if count is not None and count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        first = np.flatnonzero(scores >= least)
        yield from first[np.argsort(-scores[first], kind="stable")].tolist()
        rest = np.flatnonzero(scores < least)
        yield from rest[np.argsort(-scores[rest], kind="stable")].tolist()
        return
    yield from np.argsort(-scores, kind="stable").tolist()


def _item(parts: Sequence[Part], n: int) -> ImageItem:
    """The image of a row of all parts together."""
    for part in parts:
        if n < len(part.names):
            return part.item(n)
        n -= len(part.names)
    raise IndexError(n)
