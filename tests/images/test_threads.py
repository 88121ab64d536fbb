"""Decode threads: one a core, more where they wait, and none left behind."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest
from PIL import Image
from small_data import in_memory

from clipcli.data.reference import read as read_bytes
from clipcli.images.batches import batches
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.threads import _PROBE, DecodeThreads, threads_for
from clipcli.records import ImageItem, Reference


class Measured(Stopwatch):
    """A stopwatch that says what it is told to."""

    def __init__(self, *, read: float, read_cpu: float, decode_cpu: float) -> None:
        super().__init__()
        self._seconds.update(read=read)
        self._cpu.update(read=read_cpu, decode=decode_cpu)


@pytest.mark.parametrize(
    ("read", "read_cpu", "decode_cpu", "threads"),
    [
        (0.1, 0.1, 0.9, 2),  # from memory
        (1.0, 0.1, 0.9, 2),  # a disk that is nearly as fast
        (3.1, 0.1, 0.9, 8),  # waits three times as long as it works
        (2.1, 0.1, 0.9, 6),
        (99.0, 0.0, 0.5, 64),
        (0.0, 0.0, 0.0, 2),  # nothing was read
    ],
)
def test_as_many_threads_as_keep_the_cores_busy(read: float, read_cpu: float, decode_cpu: float, threads: int) -> None:
    watch = Measured(read=read, read_cpu=read_cpu, decode_cpu=decode_cpu)
    assert threads_for(watch, count=2, most=64) == threads


def test_never_fewer_than_before_and_never_more_than_allowed() -> None:
    waits = Measured(read=50.0, read_cpu=0.0, decode_cpu=1.0)
    assert threads_for(waits, count=4, most=4) == 4
    assert threads_for(waits, count=8, most=4) == 8


WAITS = Measured(read=900.0, read_cpu=0.0, decode_cpu=100.0)
WORKS = Measured(read=100.0, read_cpu=100.0, decode_cpu=900.0)


def _items(count: int) -> list[ImageItem]:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return [in_memory(str(n), file.getvalue()) for n in range(count)]


def test_threads_that_wait_become_more_and_the_order_stays() -> None:
    threads = DecodeThreads(1, most=12, watch=WAITS)
    read = list(batches(_items(3 * _PROBE), resize=lambda image: image, batch_size=8, threads=threads))
    assert threads.count == 10
    assert [entry.id for batch in read for entry in batch.entries] == [str(n) for n in range(3 * _PROBE)]


def test_threads_that_work_stay_as_many() -> None:
    threads = DecodeThreads(1, most=12, watch=WORKS)
    list(batches(_items(3 * _PROBE), resize=lambda image: image, batch_size=8, threads=threads))
    assert threads.count == 1


def test_a_number_that_was_asked_for_stays() -> None:
    threads = DecodeThreads(3, watch=WAITS)
    list(batches(_items(2 * _PROBE), resize=lambda image: image, batch_size=8, threads=threads))
    assert threads.count == 3


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    threads = DecodeThreads(1, most=6, watch=WAITS)
    list(batches(_items(2 * _PROBE), resize=lambda image: image, batch_size=8, threads=threads))
    for _ in range(200):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_real_waiting_is_seen(calling: Callable[[Callable[[], bytes]], Reference]) -> None:
    def slow() -> bytes:
        time.sleep(0.05)
        return read_bytes(_items(1)[0].reference)

    threads = DecodeThreads(1, most=4)
    list(
        batches(
            [ImageItem(str(n), calling(slow)) for n in range(_PROBE + 1)],
            resize=lambda i: i,
            batch_size=8,
            threads=threads,
        )
    )
    assert threads.count == 4
