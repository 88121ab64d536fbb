"""The part of DATA that is held out to validate on, where a run is given nothing to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.train.data import TrainingData
from clipcli.data.pairs import Pair

# A class of fewer images needs all of them to learn from.
_LEAST_OF_A_CLASS = 8
# Fewer pairs do not tell a better model from a worse one, and more tell nothing that these do not.
_LEAST, _MOST = 100, 2_000


def hold_out(data: TrainingData, share: float, *, seed: int) -> tuple[TrainingData, tuple[Pair, ...]]:
    """Split DATA into what is trained on, and the pairs that are held out: such a share of each class and each DATA.

    Of a class of fewer than eight images none is held out, and nothing at all where that would be less than a hundred
    pairs.
    """
    begins = np.cumsum([0, *data.sizes])
    parts = [data.pairs[begin : begin + size] for begin, size in zip(begins, data.sizes, strict=False)]
    share = min(share, _MOST / max(1, len(data.pairs)))
    out = [_drawn(part, share, rng=np.random.default_rng([seed, n])) for n, part in enumerate(parts)]
    if sum(int(drawn.sum()) for drawn in out) < _LEAST:
        return data, ()

    def chosen(*, held: bool) -> list[tuple[Pair, ...]]:
        return [
            tuple(pair for pair, is_held in zip(part, drawn, strict=True) if is_held == held)
            for part, drawn in zip(parts, out, strict=True)
        ]

    kept = chosen(held=False)
    rest = replace(data, pairs=tuple(pair for part in kept for pair in part), sizes=tuple(map(len, kept)))
    return rest, tuple(pair for part in chosen(held=True) for pair in part)


def _drawn(pairs: Sequence[Pair], share: float, *, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the pairs `[N]` are held out."""
    by_class: dict[str | None, list[int]] = {}
    for n, pair in enumerate(pairs):
        by_class.setdefault(pair.label, []).append(n)
    out = np.zeros(len(pairs), bool)
    for label, places in by_class.items():
        if label is None or len(places) >= _LEAST_OF_A_CLASS:
            out[rng.permutation(places)[: max(1, round(share * len(places)))]] = True
    return out
