"""When the command began, by which it tells how long it took."""

from __future__ import annotations

import time

_began = time.perf_counter()


def begin(began: float | None = None) -> None:
    """Count from now, or from an earlier moment of `time.perf_counter`."""
    global _began
    _began = time.perf_counter() if began is None else began


def seconds() -> float:
    """The seconds since the command began."""
    return time.perf_counter() - _began
