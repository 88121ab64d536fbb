"""Several runs at once on one cache and one output, and runs that have too little memory."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from .conftest import KILLED, OUTPUT, Faulty

# What bounds the memory of a group, by the version of groups.
LIMITS = ("memory.limit_in_bytes", "memory.max")


@pytest.mark.parametrize("number", [2, 8])
def test_runs_on_one_cache(faulty: Faulty, classify: list[object], number: int) -> None:
    assert faulty(*classify).code == 3
    rows = (faulty.folder / OUTPUT).read_bytes()
    faulty.clear()
    outputs = [f"rows/{n}.csv" for n in range(number)]
    for ended in faulty.together([[*classify[:-1], output] for output in outputs]):
        assert ended.code == 3, ended.said
        assert "going on without it" not in ended.said
    for output in outputs:
        assert (faulty.folder / output).read_bytes() == rows
    with closing(sqlite3.connect(faulty.folder / "cache" / "embeddings.sqlite")) as connection:
        assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        counts = dict(connection.execute("SELECT kind, COUNT(*) FROM entries GROUP BY kind"))
    assert (counts["class embeddings"], counts["image embeddings"]) == (4, 12)


@pytest.mark.parametrize("number", [2, 8])
def test_runs_on_one_output(faulty: Faulty, classify: list[object], number: int) -> None:
    """One of them writes it; the others say that it does, or come when it is there."""
    assert faulty(*classify).code == 3
    rows = (faulty.folder / OUTPUT).read_bytes()
    faulty.clear()
    ends = faulty.together([classify] * number)
    assert sorted(ended.code for ended in ends)[-1] == 3
    for ended in ends:
        if ended.code != 3:
            assert ended.code == 2, ended.said
            assert "another run" in ended.said or "exists" in ended.said
    assert (faulty.folder / OUTPUT).read_bytes() == rows
    assert {path.name for path in (faulty.folder / "rows").iterdir()} == {"out.csv", "out.csv.json"}


def test_a_run_with_too_little_memory(faulty: Faulty, classify: list[object], rounds: int) -> None:
    """It ends with one line, or a library faults that got no memory; in any case another run goes on."""
    assert faulty(*classify).code == 3
    rows, codes = (faulty.folder / OUTPUT).read_bytes(), set()
    for megabytes in [8, 1024] if rounds == 1 else [*range(4, 200, 4), 1024]:
        faulty.clear()
        ended = faulty(*classify, memory=megabytes << 20)
        codes.add(ended.code)
        assert "Traceback" not in ended.said
        if ended.code == 1:
            assert "memory" in ended.said.splitlines()[-1]
        if ended.code != 3 or (faulty.folder / OUTPUT).read_bytes() != rows:
            assert ended.code != 3 or b"needs more memory than it may have" in (faulty.folder / OUTPUT).read_bytes()
            again = faulty(*classify, "--resume" if ended.code != 3 else "--overwrite")
            assert again.code == 3, again.said
        assert (faulty.folder / OUTPUT).read_bytes() == rows
    assert {1, 3} <= codes


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of its own, in which memory is bounded."""
    folder = Path("/sys/fs/cgroup/memory")
    if not folder.is_dir():
        folder = Path("/sys/fs/cgroup")
    found = folder / f"clipcli-tests-{os.getpid()}"
    try:
        found.mkdir()
    except OSError as e:
        pytest.skip(f"no control group can be made here: {e.strerror}")
    if not any((found / name).exists() for name in LIMITS):
        found.rmdir()
        pytest.skip("control groups do not bound memory here")
    yield found
    # Workers end after the run that they work for.
    until = time.monotonic() + 30
    while (found / "cgroup.procs").read_text():
        assert time.monotonic() < until, "a process of the run goes on after it"
        time.sleep(0.05)
    found.rmdir()


@pytest.mark.parametrize("isolate", [False, True])
def test_a_group_with_too_little_memory(
    faulty: Faulty, classify: list[object], group: Path, rounds: int, isolate: bool
) -> None:
    """The system kills a run that takes more, or with `--isolate` a worker; the rows so far are gone on with."""
    [limit] = [group / name for name in LIMITS if (group / name).exists()]
    Image.new("RGB", (6_000, 4_500), (9, 99, 200)).save(faulty.folder / "photos" / "08 large.png")
    apart = ["--isolate"] if isolate else []
    assert faulty(*classify, *apart).code == 3
    rows, codes = (faulty.folder / OUTPUT).read_bytes(), set()
    for megabytes in [100] if rounds == 1 else [*range(20, 400, 20), 2000]:
        faulty.clear()
        limit.write_text(str(megabytes << 20))
        ended = faulty(*classify, *apart, group=group)
        codes.add(ended.code)
        assert "Traceback" not in ended.said
        assert ended.code in (1, 3, KILLED), ended.said
        if ended.code != 3:
            assert faulty(*classify, *apart, "--resume").code == 3
        elif (faulty.folder / OUTPUT).read_bytes() != rows:
            assert b"its decoder died by SIGKILL" in (faulty.folder / OUTPUT).read_bytes()
            assert faulty(*classify, *apart, "--overwrite").code == 3
        assert (faulty.folder / OUTPUT).read_bytes() == rows
    assert rounds == 1 or 3 in codes
