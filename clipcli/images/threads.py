"""A pool of threads that read and decode: one per core, or more if they mostly wait for bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from clipcli.images.stopwatch import Stopwatch

Result = TypeVar("Result")
# The pool may grow once this many images were read and decoded.
_PROBE = 32


class DecodeThreads:
    """A pool of `count` threads that may grow once, to at most `most`, depending on the times of the `watch`.

    The cores stay busy with cores × (1 + waiting / working) threads (Goetz, Java Concurrency in Practice, 8.2). Threads
    that wait less than they work, as with a local disk, need no more than one per core.
    """

    def __init__(self, count: int, *, most: int | None = None, watch: Stopwatch | None = None) -> None:
        self.count, self.watch = count, watch or Stopwatch()
        self._most, self._done = most or count, 0
        self._pool, self.watch.workers = _pool(count), count

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run `work` in a thread of the pool."""
        return self._pool.submit(work)

    def one_done(self) -> None:
        """Count an image as read and decoded; after the first few the pool may grow."""
        self._done += 1
        if self._done == _PROBE and self.count < self._most:
            self._grow(threads_for(self.watch, count=self.count, most=self._most))

    def close(self) -> None:
        """Cancel all work that has not begun, without waiting for the rest."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _grow(self, count: int) -> None:
        if count > self.count:
            # Work submitted before goes on in the old threads.
            self._pool.shutdown(wait=False)
            self.count, self._pool, self.watch.workers = count, _pool(count), count


def threads_for(watch: Stopwatch, *, count: int, most: int) -> int:
    """The number of threads that keep `count` cores busy, at most `most`, by the times of reading and decoding."""
    work = watch.cpu("read") + watch.cpu("decode")
    waiting = watch["read"] - watch.cpu("read")
    return count if waiting <= work else max(count, min(most, math.ceil(count * (1 + waiting / work))))


def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="decode")
