"""Turns scores into decisions: the best classes of each image."""

from __future__ import annotations

from clipcli.records import Decided, Decision, Scores
from clipcli.scoring.score import best


def decide(scores: Scores, *, top_k: int) -> Decided:
    """Choose the `top_k` classes of each image with the highest scores, best first; of equal ones the earlier class."""
    indices = best(scores.values, top_k)
    decisions = (
        Decision(tuple(map(int, chosen)), tuple(float(values[n]) for n in chosen))
        for chosen, values in zip(indices, scores.values, strict=True)
    )
    return Decided(scores.entries, tuple(decisions))
