"""Measures the seconds spent on each kind of work, summed over threads."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Sums up wall and CPU time by kind of work, such as `read` or `decode`. It is safe to use from several threads.

    A thread does one kind of work at a time, so that the times of one thread add up to no more than the total.
    `workers` is the number of threads that read and decode, which they set themselves.
    """

    def __init__(self) -> None:
        self.workers = 0
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()
        self._here = local()
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
        """Count the time of a `with` block as this kind of work, but for blocks within it, which count as theirs."""
        outer = self._turn_to(work)
        try:
            yield
        finally:
            self._turn_to(outer)

    def _turn_to(self, work: str | None) -> str | None:
        """Begin another kind of work in this thread, or none; returns the kind until now."""
        now, cpu = time.perf_counter(), time.thread_time()
        before, since, cpu_since = getattr(self._here, "at", (None, now, cpu))
        if before is not None:
            with self._lock:
                self._seconds[before] += now - since
                self._cpu[before] += cpu - cpu_since
        self._here.at = work, now, cpu
        return before

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
