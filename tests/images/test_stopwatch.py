"""Time is added up by what it went into, over threads, and the slowest part has a name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clipcli.events import TimeSpent
from clipcli.images.stopwatch import Stopwatch


def test_time_of_all_threads_is_added_up() -> None:
    watch = Stopwatch()

    def work(_: int) -> None:
        with watch.on("work"):
            time.sleep(0.02)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert watch["work"] >= 0.15
    assert watch["rest"] == 0


def test_a_piece_that_fails_counts_as_well() -> None:
    watch = Stopwatch()

    def fail() -> None:
        with watch.on("work"):
            time.sleep(0.01)
            raise ValueError("it fails")

    with pytest.raises(ValueError, match="it fails"):
        fail()
    assert watch["work"] >= 0.01


def test_waiting_for_things_counts_and_using_them_does_not() -> None:
    def slow() -> Iterator[int]:
        for n in range(3):
            time.sleep(0.01)
            yield n

    watch = Stopwatch()
    seen = []
    for n in watch.each(slow(), work="wait"):
        seen.append(n)
        time.sleep(0.05)
    assert seen == [0, 1, 2]
    assert 0.03 <= watch["wait"] < 0.15


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"wait": 1.0, "encode": 9.0}, "encode"),
        ({"wait": 9.0, "encode": 1.0, "decode": 17.0, "read": 2.0}, "decode"),
        ({"wait": 9.0, "encode": 1.0, "decode": 2.0, "read": 17.0}, "read"),
        ({"wait": 1.0, "encode": 2.0, "write": 3.0}, "write"),
        ({"wait": 1.0, "encode": 2.0, "copy": 3.0}, "copy"),
        ({"wait": 1.0, "encode": 2.0, "load": 3.0, "decode": 9.0}, "load"),
        ({"start": 3.0, "load": 2.0}, "start"),
        ({"load": 1.0, "total": 5.0}, "other"),
    ],
)
def test_the_bottleneck_is_what_the_rest_waits_for(seconds: dict[str, float], expected: str) -> None:
    in_turn = sum(value for kind, value in seconds.items() if kind not in ("read", "decode"))
    spent = TimeSpent(**({"total": in_turn} | seconds), workers=2)
    assert spent.bottleneck == expected
    assert sum(spent.in_turn.values()) == spent.total


def test_work_within_work_counts_once() -> None:
    watch = Stopwatch()
    with watch.on("labels"):
        time.sleep(0.02)
        with watch.on("load"):
            time.sleep(0.1)
        time.sleep(0.02)
    assert watch["load"] >= 0.1
    assert 0.04 <= watch["labels"] <= watch.total - watch["load"]


def test_waiting_is_told_from_work() -> None:
    watch = Stopwatch()
    with watch.on("wait"):
        time.sleep(0.05)
    with watch.on("work"):
        sum(range(200_000))
    assert watch["wait"] >= 0.05 > 10 * watch.cpu("wait")
    assert 0 < watch.cpu("work") <= watch["work"] * 1.01 + 1e-3
