"""WiSE-FT (Wortsman et al. 2022): weights between the starting and the trained ones, which forget less.

`auto` measures eleven mixes and keeps the best one by validation that retains enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace

from torch import Tensor

from clipcli.errors import UsageError
from clipcli.events import Event, Mixed

AUTO = "auto"
_ALPHAS = tuple(n / 10 for n in range(11))

Weights = Mapping[str, Tensor]
# From weights to the metrics of validation and of retention, each `None` without data to measure it on.
Measure = Callable[[Weights], Generator[Event, None, tuple[float | None, float | None]]]


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
    """Measure eleven mixes, and choose the best by validation whose retention is at most `retain_drop` below the start.

    Of equally good ones the mix nearest to the start is chosen. Yields each mix as it is measured; returns the `alpha`
    that was chosen, and all mixes with the choice marked.
    """
    points = []
    for alpha in _ALPHAS:
        validation, retention = yield from measure(mix(start, trained, alpha))
        points.append(Mixed(alpha, validation, retention, chosen=False))
        yield points[-1]
    least = None if points[0].retention is None else points[0].retention - retain_drop
    allowed = [p for p in points if least is None or (p.retention is not None and p.retention >= least)]
    best = max(allowed, key=lambda p: (p.validation if p.validation is not None else 0.0, -p.alpha))
    return best.alpha, [replace(point, chosen=point is best) for point in points]
