"""Between the starting weights and the trained ones: what was learned, without what was forgotten.

The weights are interpolated (WiSE-FT, Wortsman et al. 2022); `auto` measures eleven mixes and keeps the best one that
retains enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace

from torch import Tensor

from clipcli.errors import UsageError
from clipcli.events import Mixed

AUTO = "auto"
_ALPHAS = tuple(n / 10 for n in range(11))

Weights = Mapping[str, Tensor]
# Validation and retention of a model, either of them `None` where there is nothing to measure it on.
Measure = Callable[[Weights], tuple[float | None, float | None]]


def parse_alpha(text: str) -> float | None:
    """The share of the way that `--wise-ft` names, or `None` for `auto`. Raises `UsageError`."""
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
    """Weights `alpha` of the way from the starting ones to the trained ones; counters are the trained ones."""
    return {
        name: start[name].lerp(weight, alpha) if name in start and weight.is_floating_point() else weight
        for name, weight in trained.items()
    }


def sweep(
    start: Weights, trained: Weights, *, measure: Measure, retain_drop: float
) -> Generator[Mixed, None, tuple[float, list[Mixed]]]:
    """The best mix by validation among those that retain what the start had, less `retain_drop`; and all of them.

    Of equally good ones the mix nearest to the start is kept.
    """
    points = []
    for alpha in _ALPHAS:
        validation, retention = measure(mix(start, trained, alpha))
        points.append(Mixed(alpha, validation, retention, chosen=False))
        yield points[-1]
    least = None if points[0].retention is None else points[0].retention - retain_drop
    allowed = [p for p in points if least is None or (p.retention is not None and p.retention >= least)]
    best = max(allowed, key=lambda p: (p.validation if p.validation is not None else 0.0, -p.alpha))
    return best.alpha, [replace(point, chosen=point is best) for point in points]
