"""Decodes images in worker processes that are watched: for `--isolate`.

A worker that takes too long is ended, and one that dies is replaced; the image that it had in hand is skipped, with
what it did. If the worker had decoded others before, which may have harmed it, the image gets a second, fresh one.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from clipcli.errors import ClipcliError, one_line
from clipcli.files.remote import is_remote
from clipcli.images.decode import attempt, reason_of
from clipcli.images.house import HOUSE, cannot_start
from clipcli.images.limits import Limits
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.wanted import Found, Read, Wanted, reading
from clipcli.images.worker import receive_answer, send
from clipcli.notices import Note, Notice, unsaid
from clipcli.offline import is_offline
from clipcli.records import WHOLE, Content, Frame, Held, ImageItem, Skipped

Result = TypeVar("Result")


class Attempt(Protocol):
    """The type of `attempt`, as far as it is used with either."""

    def __call__(self, item: ImageItem, use: Callable[[Content], Result], /) -> Result | Skipped: ...


_START_SECONDS = 600.0


class _Died(Exception):
    """A worker ended before it answered: why, in words."""


class _Gone(_Died):
    """A worker that took too long and was ended."""


class _Worker:
    """One worker process, and the socket to it."""

    def __init__(self, wanted: bytes) -> None:
        self._stream, theirs = socket.socketpair()
        self.done = 0
        try:
            with theirs:
                self.id = HOUSE.fork(theirs)
            self.ask(wanted, most=0, seconds=_START_SECONDS)
        except BaseException:
            self._stream.close()
            raise
        self.done = 0

    def ask(self, question: bytes, *, most: int, seconds: float) -> tuple[dict[str, Any], memoryview]:
        """The answer to a question.

        Raises `_Died`, `_Gone` if there is none after so many seconds, and `ValueError` for one that makes no sense.
        """
        until = time.monotonic() + seconds
        try:
            self._stream.settimeout(seconds)
            send(self._stream, b"", question)
            found = receive_answer(self._stream, most=most, remaining=lambda: until - time.monotonic())
        except TimeoutError:
            self.end()
            raise _Gone(f"not decoded after {seconds:g} s, and given up") from None
        except (EOFError, OSError):
            raise _Died(self._how_it_ended()) from None
        self.done += 1
        return found

    def end(self) -> None:
        """End the process."""
        with suppress(ClipcliError):
            HOUSE.kill(self.id)
        self._stream.close()

    def _how_it_ended(self) -> str:
        # A worker that lives ends once there is nobody to answer.
        self._stream.close()
        number = HOUSE.how_it_ended(self.id)
        if not number:
            return "its decoder ended the worker process"
        name = signal.Signals(number).name
        why = {"SIGKILL": ", as for want of memory", "SIGSEGV": ", a fault in its code"}.get(name, "")
        return f"its decoder died by {name}{why}"


def _nobody(_: ImageItem) -> Note:
    return unsaid


@contextmanager
def attempting(limits: Limits, *, about: Callable[[ImageItem], Note] = _nobody) -> Iterator[Attempt]:
    """`attempt`, or with `isolate` its like that is given images which workers have decoded.

    What workers note of an image goes to the `Note` about it.
    """
    if not limits.isolate:
        yield attempt
        return
    isolated = Isolated(Wanted(limits=limits), about=about)
    try:
        yield isolated.attempt
    finally:
        isolated.close()


def check_workers(limits: Limits) -> None:
    """Start a worker, and end it. Raises `ClipcliError` where none can be started."""
    isolated = Isolated(Wanted(limits=limits))
    try:
        isolated.start()
    finally:
        isolated.close()


@contextmanager
def reader(wanted: Wanted, *, watch: Stopwatch) -> Iterator[Read]:
    """A function that gives what is wanted of an image: in this process, or with `isolate` in workers."""
    if not wanted.limits.isolate:
        yield reading(wanted.look(), watch=watch)
        return
    isolated = Isolated(wanted, watch=watch)
    try:
        yield isolated.pixels
    finally:
        isolated.close()


class Isolated:
    """Looks at images in worker processes, one for each thread that asks at a time.

    What is `wanted` comes with the limits. Images that a program holds are looked at in its own process.
    """

    def __init__(
        self, wanted: Wanted, *, watch: Stopwatch | None = None, about: Callable[[ImageItem], Note] = _nobody
    ) -> None:
        self._wanted, self._watch, self._about = wanted, watch or Stopwatch(), about
        self._first = pickle.dumps(wanted)
        self._look = wanted.look() if wanted.ways else None
        self._shapes = [[*way.size, 3] for way in wanted.ways]
        self._lock, self._closed = Lock(), False
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers."""
        with self._lock:
            return [worker.id for worker in self._all]

    def start(self) -> None:
        """Start a worker before there is an image. Raises `ClipcliError` if none can be started."""
        self._give_back(self._worker())

    def pixels(self, item: ImageItem, note: Note = unsaid) -> Found | Skipped:
        """The pixels of an image, or why there are none. Raises `ClipcliError` if no worker can be started."""
        frame = item.reference.frame
        if isinstance(item.reference.member, Held):
            look = self._look or self._wanted.look()
            return attempt(item, lambda data: look(data, frame, note), watch=self._watch)

        def understood(head: dict[str, Any], body: memoryview) -> Found:
            found = self._pixels(head, body)
            for notice, detail in head["notes"]:
                note(Notice(**notice), str(detail))
            return found

        return self._asked(item, frame, understood)

    def count(self, item: ImageItem) -> int | Skipped | None:
        """How many frames there are, `None` for a video, or why they cannot be counted. Raises as `pixels`."""
        return self._asked(item, None, lambda head, _: None if head["count"] is None else int(head["count"]))

    def _asked(
        self, item: ImageItem, frame: Frame | None, understood: Callable[[dict[str, Any], memoryview], Result]
    ) -> Result | Skipped:
        """What is `understood` of a worker's answer about an image, or why there is none."""
        path = item.reference.path
        # The working folder of workers is the one that this process had when they were first needed.
        absolute = path if path is None or is_remote(path) else os.path.abspath(path)
        question = pickle.dumps((replace(item.reference, path=absolute, frame=WHOLE), frame, is_offline()))
        with self._watch.on("decode"):
            while True:
                worker = self._worker()
                was_fresh, no_memory = worker.done == 0, False
                try:
                    head, body = worker.ask(question, most=self._most, seconds=self._wanted.limits.seconds)
                    no_memory = "memory" in head
                    reason = head.get("error", head.get("memory"))
                    found = understood(head, body) if reason is None else Skipped(item, str(reason))
                except _Died as e:
                    found, was_fresh = Skipped(item, str(e)), was_fresh or isinstance(e, _Gone)
                except (KeyError, TypeError, ValueError, OverflowError):
                    worker.end()
                    found = Skipped(item, "its decoder gave an answer that makes no sense")
                else:
                    if not no_memory:
                        self._give_back(worker)
                        return found
                    worker.end()
                self._drop(worker)
                if was_fresh or self._closed:
                    return found

    def attempt(self, item: ImageItem, use: Callable[[Content], Result]) -> Result | Skipped:
        """As `clipcli.images.decode.attempt`, with the image decoded in a worker. The workers give the whole image."""
        if isinstance(item.reference.member, Held):
            return attempt(item, use)
        found = self.pixels(item, self._about(item))
        if isinstance(found, Skipped):
            return found
        try:
            return use(Held(Image.fromarray(found[0][0])))
        # What `attempt` catches as well.
        except Exception as e:
            return Skipped(item, reason_of(e, b"held"))

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            self._closed, workers, self._idle = True, list(self._all), []
            self._all.clear()
        for worker in workers:
            worker.end()

    @property
    def _most(self) -> int:
        """The most bytes that an answer may have."""
        return sum(height * width * 3 for height, width, _ in self._shapes) or self._wanted.limits.memory

    def _pixels(self, head: dict[str, Any], body: memoryview) -> Found:
        """The pixels in an answer.

        Raises `KeyError`, `TypeError`, `ValueError` or `OverflowError` for one that makes no sense.
        """
        shapes = [[int(side) for side in shape] for shape in head["shapes"]]
        if self._shapes and shapes != self._shapes:
            raise ValueError(shapes)
        pixels, start = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            pixels.append(np.frombuffer(body, np.uint8, size, start).reshape(shape))
            start += size
        return pixels, bytes.fromhex(head["digest"]) if head["digest"] else None

    def _worker(self) -> _Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            worker = _Worker(self._first)
        except (_Died, OSError, ValueError) as e:
            raise cannot_start(one_line(e)) from None
        with self._lock:
            self._all.add(worker)
            closed = self._closed
        if closed:
            worker.end()
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
