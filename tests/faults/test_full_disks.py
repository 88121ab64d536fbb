"""Disks that are full, fail or vanish: one line says it, no traceback, and what is there can be gone on with."""

from __future__ import annotations

import errno
import os
import shutil

from .conftest import FAIL_FROM, FAIL_ONCE, OUTPUT, Faulty, spread

# In each test; in long rounds 50 times as many.
FAULTS = 2
# A full disk, a failing one, a quota, and a file system that became read-only.
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


def test_the_rows(faulty: Faulty, classify: list[object], rounds: int) -> None:
    whole = faulty(*classify, watched="rows")
    rows = (faulty.folder / OUTPUT).read_bytes()
    assert whole.calls
    failed = 0
    for n, at in enumerate(spread(whole.calls, 2 * FAULTS * rounds, seed="rows")):
        faulty.clear()
        error, action = ERRORS[n % len(ERRORS)], FAIL_FROM if n % 3 else FAIL_ONCE
        ended = faulty(*classify, at=at, action=action, error=error, watched="rows")
        assert "Traceback" not in ended.said
        assert ended.code in (1, 3), ended.said
        if ended.code == 1:
            failed += 1
            [line] = [line for line in ended.said.splitlines() if os.strerror(error) in line]
            assert OUTPUT in line or "cannot write in rows: " in line
        again = faulty(*classify, "--resume")
        assert again.code == 3, again.said
        assert (faulty.folder / OUTPUT).read_bytes() == rows
    assert failed


def test_the_cache(faulty: Faulty, classify: list[object], rounds: int) -> None:
    """A cache that cannot be written is said once; the rows are what they were."""
    whole = faulty(*classify, watched="cache")
    rows = (faulty.folder / OUTPUT).read_bytes()
    assert whole.calls
    for n, at in enumerate(spread(whole.calls, FAULTS * rounds, seed="cache")):
        faulty.clear()
        ended = faulty(*classify, at=at, action=FAIL_FROM, error=ERRORS[n % len(ERRORS)], watched="cache")
        assert ended.code == 3, ended.said
        said = ended.said.count("going on without it")
        assert said <= 1
        assert (faulty.folder / OUTPUT).read_bytes() == rows
        shutil.rmtree(faulty.folder / "rows")
        (faulty.folder / "rows").mkdir()
        again = faulty(*classify)
        assert "going on without it" not in again.said
        # What failed without a word was of no matter: all is there.
        assert said or "comes from the cache" in again.said
        assert (faulty.folder / OUTPUT).read_bytes() == rows


def test_an_update(faulty: Faulty, classify: list[object], rounds: int) -> None:
    """The former output is left as it was, or the new one is whole."""
    assert faulty(*classify).code == 3
    (faulty.folder / "photos" / "new.png").write_bytes((faulty.folder / "photos" / "00.png").read_bytes())
    former = {path.name: path.read_bytes() for path in (faulty.folder / "rows").iterdir()}

    def begin() -> None:
        faulty.clear()
        for name, data in former.items():
            (faulty.folder / "rows" / name).write_bytes(data)

    update = [*classify, "--update"]
    calls = faulty(*update, watched="rows").calls
    wanted = (faulty.folder / OUTPUT).read_bytes()
    assert calls
    for at in spread(calls, FAULTS * rounds, seed="update"):
        begin()
        ended = faulty(*update, at=at, action=FAIL_FROM, error=errno.ENOSPC, watched="rows")
        assert "Traceback" not in ended.said
        assert (faulty.folder / OUTPUT).read_bytes() in (former["out.csv"], wanted)
        assert faulty(*update).code == 3
        assert (faulty.folder / OUTPUT).read_bytes() == wanted


def test_sorting(faulty: Faulty, classify: list[object], rounds: int) -> None:
    """Every photo is whole in one of its places, and undo brings it back."""
    assert faulty(*classify).code == 3
    command = ["sort", OUTPUT, "--into", "sorted", "--by", "copy", "--apply"]
    before = {path.name: path.read_bytes() for path in (faulty.folder / "photos").iterdir()}
    calls = faulty(*command, watched="sorted").calls
    assert calls
    for at in spread(calls, FAULTS * rounds, seed="sort"):
        shutil.rmtree(faulty.folder / "sorted")
        ended = faulty(*command, at=at, action=FAIL_FROM, error=errno.ENOSPC, watched="sorted")
        assert "Traceback" not in ended.said
        if ended.code == 0:
            # Nothing was left to be done.
            assert len(list((faulty.folder / "sorted").rglob("*.png"))) == 12
        else:
            assert "No space left on device" in ended.said
        assert {path.name: path.read_bytes() for path in (faulty.folder / "photos").iterdir()} == before
        again = faulty(*command)
        assert again.code == 0, again.said
        sorted_photos = {path.name: path.read_bytes() for path in (faulty.folder / "sorted").rglob("*.png")}
        assert sorted_photos.items() <= before.items()
        assert len(sorted_photos) == 12
