"""WiSE-FT (Wortsman et al. 2022): weights between the starting and the trained ones, which forget less.

`auto` measures a few mixes, coarse to fine, and keeps the best one by validation that retains enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from clipcli.errors import UsageError
from clipcli.events import Event, Mixed

AUTO = "auto"
_COARSE = (0.0, 0.25, 0.5, 0.75, 1.0)
MIXES = len(_COARSE) + 2

Weights = Mapping[str, Tensor]
# From weights to the metrics of validation and of retention, each `None` without data to measure it on.
Measure = Callable[[Weights], tuple[float | None, float | None]]


def parse_alpha(text: str) -> float | None:
    """The share of the trained weights, from 0 to 1, in `--wise-ft`; `None` for `auto`. Raises `UsageError`."""
    if text == AUTO:
        return None
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not 0 <= alpha <= 1:
        raise UsageError(f"--wise-ft {text} is neither {AUTO} nor a share from 0 to 1; give one of them")
    return alpha


def mix(start: Weights, trained: Weights, alpha: float) -> dict[str, Tensor]:
    """Interpolated weights, `alpha` of the way from the starting to the trained ones; integers are the trained ones."""
    return {
        name: start[name].lerp(weight, alpha) if name in start and weight.is_floating_point() else weight
        for name, weight in trained.items()
    }


def sweep(
    start: Weights, trained: Weights, *, measure: Measure, retain_drop: float
) -> Generator[Event, None, tuple[float, list[Mixed]]]:
    """Measure five mixes and then two beside the best, and choose the best by validation that retains enough.

    That is a retention of at most `retain_drop` below the start's. Of equally good ones the mix nearest to the start is
    chosen. Yields each mix that was measured; returns the `alpha` that was chosen, and
    all mixes with the choice marked.
    """
    points: list[Mixed] = []
    for fine in (False, True):
        alphas = _beside(_best(points, retain_drop)) if fine else _COARSE
        for alpha in alphas:
            validation, retention = measure(mix(start, trained, alpha))
            points.append(Mixed(alpha, validation, retention, chosen=False))
            yield points[-1]
    best = _best(points, retain_drop)
    return best.alpha, [replace(point, chosen=point is best) for point in sorted(points, key=lambda p: p.alpha)]


def _best(points: Sequence[Mixed], retain_drop: float) -> Mixed:
    begin = points[0].retention
    least = None if begin is None else begin - retain_drop
    allowed = [p for p in points if least is None or (p.retention is not None and p.retention >= least)]
    return max(allowed, key=lambda p: (p.validation if p.validation is not None else 0.0, -p.alpha))


def _beside(best: Mixed) -> tuple[float, ...]:
    """The mixes halfway between the best and those measured beside it."""
    half = (_COARSE[1] - _COARSE[0]) / 2
    return tuple(alpha for alpha in (best.alpha - half, best.alpha + half) if 0 < alpha < 1)
