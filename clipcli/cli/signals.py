"""Ctrl-C, SIGTERM and a terminal that is closed stop a command in order, unless they were ignored from the start."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

# Windows has no SIGHUP.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
Handler = Callable[[int, FrameType | None], object]
_asked = False


def handle_stops(handler: Handler | None = None) -> dict[int, Any]:
    """Let the handler, or else `KeyboardInterrupt`, answer all signals to stop; returns the handlers before.

    A signal that is ignored stays so: `nohup` asks for that, and scripts for what they start in the background.
    """
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    listened = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler or _stop) for number in listened}


def expect_stops() -> None:
    """Answer signals to stop from here on by `KeyboardInterrupt`. Where Python cannot raise it, `check_stops` does."""
    global _asked
    _asked = False
    handle_stops()


def check_stops() -> None:
    """Raise `KeyboardInterrupt` if a signal to stop was lost, as one that came in the middle of an import may be."""
    if _asked:
        raise KeyboardInterrupt


def _stop(_: int, __: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def say_unraisable(unraisable: Any) -> None:
    """For `sys.unraisablehook`: as Python's own, but that of signals to stop nothing is said."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
