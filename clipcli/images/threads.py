"""Threads that read and decode: one a core, and more of them where they mostly wait for the bytes to come."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from clipcli.images.stopwatch import Stopwatch

Result = TypeVar("Result")
# So many images show how reading and decoding go here.
_PROBE = 32


class DecodeThreads:
    """A pool of `count` threads, that may grow to `most`, once, by what a `watch` on their work says.

    As many threads keep the cores busy as there are cores, times one and the ratio of waiting to work (Goetz, Java
    Concurrency in Practice, 8.2). Where they wait for less than they work, as on a disk, one thread a core is enough.
    """

    def __init__(self, count: int, *, most: int | None = None, watch: Stopwatch | None = None) -> None:
        self.count, self.watch = count, watch or Stopwatch()
        self._most, self._done = most or count, 0
        self._pool = _pool(count)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have a thread do this."""
        return self._pool.submit(work)

    def one_done(self) -> None:
        """Say that an image was read and decoded."""
        self._done += 1
        if self._done == _PROBE and self.count < self._most:
            self._grow(threads_for(self.watch, count=self.count, most=self._most))

    def close(self) -> None:
        """Forget what was submitted and not begun, and wait for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _grow(self, count: int) -> None:
        if count > self.count:
            # What was submitted goes on in the threads of before.
            self._pool.shutdown(wait=False)
            self.count, self._pool = count, _pool(count)


def threads_for(watch: Stopwatch, *, count: int, most: int) -> int:
    """How many threads keep `count` cores busy, at most `most`, by the time that reading and decoding took so far."""
    work = watch.cpu("read") + watch.cpu("decode")
    waiting = watch["read"] - watch.cpu("read")
    return count if waiting <= work else max(count, min(most, math.ceil(count * (1 + waiting / work))))


def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="decode")
