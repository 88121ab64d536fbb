"""Measures the seconds spent on each kind of work, summed over threads."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Sums up wall and CPU time by kind of work, such as `read` or `decode`. It is safe to use from several threads."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()
        self._started = time.perf_counter()

    @property
    def total(self) -> float:
        """The seconds since the stopwatch was created."""
        return time.perf_counter() - self._started

    def __getitem__(self, work: str) -> float:
        """The wall-clock seconds spent on this kind of work."""
        return self._seconds[work]

    def cpu(self, work: str) -> float:
        """The CPU seconds spent on this kind of work. The rest of its wall-clock time is waiting."""
        return self._cpu[work]

    @contextmanager
    def on(self, work: str) -> Iterator[None]:
        """Count the time of a `with` block as this kind of work."""
        start, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[work] += time.perf_counter() - start
                self._cpu[work] += time.thread_time() - cpu

    def each(self, items: Iterable[Item], *, work: str) -> Iterator[Item]:
        """Yield the same items; the time until each one comes counts as this kind of work."""
        iterator = iter(items)
        while True:
            with self.on(work):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
