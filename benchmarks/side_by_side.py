"""Cases measured in turn with a baseline, so that all of them feel the same machine."""

import statistics
from collections.abc import Callable, Mapping

RUNS = 5


def side_by_side(
    baseline: Callable[[], float], cases: Mapping[str, Callable[[], float]]
) -> dict[str, tuple[float, float]]:
    """For each case its seconds, and the baseline's as a multiple of them: medians of `RUNS`, both of the same runs."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(RUNS):
        base = baseline()
        for name, measure in cases.items():
            seconds[name].append(measure())
            ratios[name].append(base / seconds[name][-1])
    return {name: (statistics.median(seconds[name]), statistics.median(ratios[name])) for name in cases}
