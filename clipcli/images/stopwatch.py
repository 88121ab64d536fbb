"""Where the time goes: seconds by what they were spent on, added up over threads."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

Thing = TypeVar("Thing")


class Stopwatch:
    """Takes the time of pieces of work; several threads may use one."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()
        self._started = time.perf_counter()

    @property
    def total(self) -> float:
        """The seconds since this was made."""
        return time.perf_counter() - self._started

    def __getitem__(self, work: str) -> float:
        """The seconds that went into this kind of work."""
        return self._seconds[work]

    def cpu(self, work: str) -> float:
        """Those of them in which a core worked for it: the rest is waiting."""
        return self._cpu[work]

    @contextmanager
    def on(self, work: str) -> Iterator[None]:
        """Count the time until the block ends."""
        start, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[work] += time.perf_counter() - start
                self._cpu[work] += time.thread_time() - cpu

    def each(self, things: Iterable[Thing], *, work: str) -> Iterator[Thing]:
        """The same things; the time until each of them is there counts."""
        iterator = iter(things)
        while True:
            with self.on(work):
                try:
                    thing = next(iterator)
                except StopIteration:
                    return
            yield thing
