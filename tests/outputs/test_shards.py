"""Shards: which image is in which, where a process finds its own, and the places of its rows in the whole run."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import log1p

import pytest

from clipcli.errors import UsageError
from clipcli.outputs.shards import (
    Shard,
    places_of,
    read_shard,
    shard_of_process,
    sharding_of,
    started_together,
)
from clipcli.records import Provenance

NAMES = ("a.jpg", "photos/b.png", "s.tar/000.jpg", "ü.jpg", "\udcff.jpg", "inputs[3]", "a.jpg ")


def test_an_image_is_in_the_shard_that_it_was_always_in() -> None:
    """These numbers must never change: machines with two versions may work on one run."""
    found = [next(n for n in range(16) if Shard(n, 16).has(name)) for name in NAMES]
    assert found == [9, 1, 6, 9, 11, 11, 8]


def test_an_image_is_in_one_shard_and_shards_are_alike_in_size() -> None:
    names = [f"photos/{n:06}.jpg" for n in range(20_000)]
    counts = Counter(n for name in names[:2000] for n in range(7) if Shard(n, 7).has(name))
    assert counts.total() == 2000
    assert all(abs(count - 2000 / 7) < 80 for count in counts.values())
    assert sum(Shard(3, 1000).has(name) for name in names) in range(5, 40)


def test_a_name_that_is_not_utf_8_is_in_the_shard_of_its_parquet_form() -> None:
    assert [Shard(n, 5).has("\udcff.jpg") for n in range(5)] == [Shard(n, 5).has("\\udcff.jpg") for n in range(5)]


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "1/0", "a/b", "1/4/2", "", "0/4000000000"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no shard; give I/N"):
        read_shard(text)


def test_names_of_files_sort_as_shards_do() -> None:
    assert [Shard(3, 16).in_names, Shard(0, 1).in_names, Shard(7, 1000).in_names] == [
        "03-of-16",
        "0-of-1",
        "007-of-1000",
    ]


ARRAY = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "7"}
PROCESSES = [
    ("auto", {"RANK": "1", "WORLD_SIZE": "4"}, "1/4", "shard 1/4 by RANK and WORLD_SIZE"),
    (
        "auto",
        {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
        "3/8",
        "shard 3/8 by SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT",
    ),
    ("auto/8", {"SLURM_ARRAY_TASK_ID": "6"}, "6/8", "shard 6/8 by SLURM_ARRAY_TASK_ID"),
    ("auto", {"SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, "2/3", "shard 2/3 by SLURM_PROCID and SLURM_NTASKS"),
    (
        "auto",
        {"SLURM_PROCID": "2", "SLURM_NTASKS": "9", "SLURM_STEP_NUM_TASKS": "3"},
        "2/3",
        "shard 2/3 by SLURM_PROCID and SLURM_STEP_NUM_TASKS",
    ),
    ("auto/5", {"JOB_COMPLETION_INDEX": "4"}, "4/5", "shard 4/5 by JOB_COMPLETION_INDEX"),
    ("2/3", {"RANK": "0", "WORLD_SIZE": "9"}, "2/3", None),
]


@pytest.mark.parametrize(("text", "environment", "shard", "said"), PROCESSES)
def test_the_shard_of_a_process(text: str, environment: dict[str, str], shard: str, said: str | None) -> None:
    found, words = shard_of_process(text, environment)
    assert (str(found), words) == (shard, said)


REFUSED = [
    ("auto", {}, "none of them started this process"),
    ("auto", {"RANK": "4", "WORLD_SIZE": "4"}, "RANK is 4, and shards are counted from 0 to 3"),
    ("auto", {"RANK": "0"}, "--shard auto needs WORLD_SIZE, which is not set; give --shard I/N"),
    ("auto", {"RANK": "x", "WORLD_SIZE": "2"}, "--shard auto needs RANK, which is 'x'"),
    ("auto", {"JOB_COMPLETION_INDEX": "1"}, "give --shard auto/N"),
    ("auto", {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "5"}, "the array's tasks are 5 from 0 to 7"),
    (
        "auto",
        {**ARRAY, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "7"},
        "give the number, as in --shard auto",
    ),
    ("auto", {**ARRAY, "SLURM_STEP_NUM_TASKS": "4"}, "an array of jobs of several tasks each; give --shard I/N"),
    ("auto", {**ARRAY, "SLURM_STEP_NUM_TASKS": "x"}, "--shard auto needs SLURM_STEP_NUM_TASKS, which is 'x'"),
    ("auto/0", {"RANK": "0", "WORLD_SIZE": "1"}, "--shard auto/0 is no shard"),
    ("auto/", {"RANK": "0", "WORLD_SIZE": "1"}, "--shard auto/ is no shard"),
]


@pytest.mark.parametrize(("text", "environment", "message"), REFUSED)
def test_a_process_that_does_not_know_its_shard(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        shard_of_process(text, environment)
    assert message in str(raised.value)


def test_processes_of_one_command_line() -> None:
    assert started_together({"RANK": "0"})
    assert started_together({"SLURM_PROCID": "0"})
    assert not started_together({"SLURM_PROCID": "0", "SLURM_ARRAY_TASK_ID": "0"})
    assert not started_together({"JOB_COMPLETION_INDEX": "0"})


@pytest.mark.parametrize("places", [[], [0], [0, 1, 2], [127, 128, 129, 400, 20_000, 3_000_000_000]])
def test_places_come_back(places: list[int]) -> None:
    assert places_of(provenance_of(places, images=len(places))) == places


@pytest.mark.parametrize("count", [3, 300_000])
def test_places_of_more_images_than_there_are_are_not_unpacked(count: int) -> None:
    """A manifest may come from anywhere, and a short one may stand for gigabytes."""
    tracemalloc.start()
    provenance = provenance_of(range(count), images=0)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with pytest.raises(ValueError, match="places of more than 0 images"):
        places_of(provenance)
    assert tracemalloc.get_traced_memory()[1] - before < 200_000
    tracemalloc.stop()


def provenance_of(places: Sequence[int], *, images: int) -> Provenance:
    """What a manifest tells of a shard with these places."""
    return Provenance(
        command="classify",
        settings={},
        model="m",
        classes=(),
        prompts="p",
        templates=None,
        classifier=None,
        inputs=(),
        images=images,
        images_digest="e",
        kept=(),
        shard=sharding_of(Shard(0, 2), places, images=9, digest="d"),
    )


@pytest.mark.parametrize(("shards", "size"), [(2, 0.44), (16, 0.94), (100, 1.5), (1000, 2.2), (10_000, 2.8)])
def test_places_take_one_to_three_bytes_an_image(shards: int, size: float) -> None:
    """The gaps between the places of a shard of 10,000 images are random."""
    chance = random.Random(0)
    places = list(accumulate(1 + int(chance.expovariate(1) / -log1p(-1 / shards)) for _ in range(10_000)))
    packed = sharding_of(Shard(0, shards), places, images=places[-1] + 1, digest="d")["places"]
    assert len(packed) / len(places) == pytest.approx(size, abs=0.06)
