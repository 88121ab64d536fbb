"""From scores to decisions: which classes each image is given."""

from __future__ import annotations

from clipcli.records import Decided, Decision, Scores
from clipcli.scoring.score import best


def decide(scores: Scores, *, top_k: int) -> Decided:
    """The `top_k` best classes of each image, best first; of equal scores the earlier class comes first."""
    indices = best(scores.values, top_k)
    decisions = (
        Decision(tuple(map(int, chosen)), tuple(float(values[n]) for n in chosen))
        for chosen, values in zip(indices, scores.values, strict=True)
    )
    return Decided(scores.entries, tuple(decisions))
