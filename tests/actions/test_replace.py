"""What is replaced or removed comes back, to the byte and with its time, whatever became of the undoing meanwhile."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from clipcli.actions.journal import Journal, Record, read_journal
from clipcli.actions.replace import Keeper
from clipcli.actions.undo import settle, undo_steps

FORMER = b"<a>" + bytes(range(256)) * 4 + b"</a>"
LONG_AGO = 1_600_000_000 * 10**9


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.xmp"
    path.write_bytes(FORMER)
    path.chmod(0o640)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


def replaced(file: Path, data: bytes, *, keep_time: bool = False) -> Record:
    with Journal.create(file.parent, command="tag") as journal:
        Keeper(journal).replace(str(file), data, former=file.read_bytes(), keep_time=keep_time)
    return read_journal(journal.path)


def left(record: Record) -> list[str | None]:
    return [one.left for one in undo_steps(read_journal(record.path))]


NEW = {
    "more in the middle": FORMER[:500] + b"new" + FORMER[500:],
    "less in the middle": FORMER[:500] + FORMER[600:],
    "another end": FORMER[:-1] + b"?",
    "more at the end": FORMER + b"!",
    "another beginning": b"?" + FORMER,
    "a repetition": FORMER[:256] + FORMER,
    "nothing": b"",
    "all": b"another",
}


@pytest.mark.parametrize("new", NEW.values(), ids=NEW)
def test_former_bytes_come_back(file: Path, new: bytes) -> None:
    record = replaced(file, new)
    assert file.read_bytes() == new
    assert file.stat().st_mtime_ns > LONG_AGO
    assert left(record) == [None]
    assert (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode & 0o777) == (FORMER, LONG_AGO, 0o640)
    assert [path.name for path in file.parent.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.parametrize(("changed", "files"), [(10, []), (100_000, [100_000])])
def test_only_what_changes_is_kept(file: Path, changed: int, files: list[int]) -> None:
    large = random.Random(0).randbytes(1_000_000)
    file.write_bytes(large)
    record = replaced(file, large[:400] + b"a packet" + large[400 + changed :])
    assert record.path.stat().st_size < 1000
    assert [path.stat().st_size for path in record.path.with_suffix(".kept").glob("*")] == files
    assert left(record) == [None]
    assert file.read_bytes() == large


def test_the_time_is_kept_where_it_should_be(file: Path) -> None:
    replaced(file, b"new", keep_time=True)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (b"new", LONG_AGO)


def test_what_was_changed_since_is_left(file: Path) -> None:
    record = replaced(file, b"new")
    file.write_bytes(b"newer")
    assert left(record) == ["it was changed since"]
    assert file.read_bytes() == b"newer"
    file.unlink()
    assert left(record) == ["it, or what was kept of it, is no longer there"]


def test_an_undoing_that_was_killed_is_gone_on_with(file: Path) -> None:
    record = replaced(file, NEW["less in the middle"])
    # It was killed before it could note that it was done.
    file.write_bytes(FORMER)
    [one] = undo_steps(record)
    assert (one.did, one.left) == (False, None)
    assert file.read_bytes() == FORMER


@pytest.mark.parametrize("was_replaced", [True, False])
def test_a_step_that_was_killed_is_settled(file: Path, was_replaced: bool) -> None:
    record = replaced(file, b"new")
    lines = record.path.read_bytes().splitlines(keepends=True)
    assert b'"done": 1' in lines[-1]
    record.path.write_bytes(b"".join(lines[:-1]))
    if not was_replaced:
        file.write_bytes(FORMER)
    settle(record.path.parent, command=record.command)
    assert file.read_bytes() == FORMER
    assert left(record) == []


def test_a_removed_file_comes_back(file: Path) -> None:
    with Journal.create(file.parent, command="tag") as journal:
        Keeper(journal).remove(str(file), former=FORMER)
    assert not file.exists()
    record = read_journal(journal.path)
    file.write_bytes(b"another")
    assert left(record) == ["another file is at its old place"]
    file.unlink()
    assert left(record) == [None]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (FORMER, LONG_AGO)


def test_what_is_not_as_it_was_read_is_neither_replaced_nor_removed(file: Path) -> None:
    with Journal.create(file.parent, command="tag") as journal:
        keeper = Keeper(journal)
        with pytest.raises(OSError, match="it changed meanwhile"):
            keeper.replace(str(file), b"new", former=b"other")
        with pytest.raises(OSError, match="it changed meanwhile"):
            keeper.remove(str(file), former=b"other")
    assert file.read_bytes() == FORMER
    assert read_journal(journal.path).steps == {}
