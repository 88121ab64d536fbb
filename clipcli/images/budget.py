"""Bounds the pixels that are decoded at once, in all threads together, whatever the files hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

from clipcli.backbones.devices import cores

# A photo of a phone for each core. A pixel takes 4 bytes, and as many again for each change of the whole image.
_A_CORE = 16 << 20
_AT_LEAST = 64 << 20


class PixelBudget:
    """Pixels that threads share. Who wants more than are left waits; a single image that is larger goes alone."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        # Threads come to their turn one after another, so that small images do not pass a large one by for ever.
        self._turn, self._changed = Lock(), Condition()

    @contextmanager
    def holding(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image of so many pixels, and hold it in a `with` block."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + pixels <= self._most)
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify()


# Memory is the process's, so all of its threads share one budget.
BUDGET = PixelBudget(max(_AT_LEAST, _A_CORE * cores()))
