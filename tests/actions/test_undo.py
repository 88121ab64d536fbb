"""Undo looks at what is there, removes what it knows, and leaves what somebody changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcli.actions.files import copy_file, move_file, write_file
from clipcli.actions.journal import Journal, Step, read_journal
from clipcli.actions.undo import Undone, undo_steps
from clipcli.errors import BadFile
from clipcli.files.identity import state_of

Take = Callable[..., None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("first")
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there" / "b.txt"


ACTS: dict[str, Callable[[str, str, str], object]] = {
    "copy": lambda source, target, part: copy_file(source, target, part=part),
    "hardlink": lambda source, target, _: os.link(source, target),
    "symlink": lambda source, target, _: os.symlink(source, target),
    "move": lambda source, target, part: move_file(source, target, part=part),
    "write": lambda _, target, part: write_file(b"first", target, part=part),
}


def take(kind: str, source: Path, target: Path) -> Path:
    """Take one step, as commands do; returns the journal."""
    part = str(target.with_name(f".{target.name}.part"))
    hashed = {"sha256": hashlib.sha256(b"first").hexdigest()} if kind == "write" else {}
    step = Step(kind=kind, target=str(target), source=str(source), part=part, state=state_of(source), **hashed)
    with Journal.create(target.parent, command="sort") as journal:
        journal.take(step, lambda: ACTS[kind](str(source), str(target), part))
    return journal.path


def undone(journal: Path) -> list[Undone]:
    return list(undo_steps(read_journal(journal)))


@pytest.mark.parametrize("kind", ACTS)
def test_each_kind_is_undone_once(kind: str, source: Path, target: Path) -> None:
    before = state_of(source)[:2]
    journal = take(kind, source, target)
    assert target.read_text() == "first"
    [one] = undone(journal)
    assert (one.did, one.left) == (True, None)
    assert not os.path.lexists(target)
    assert (source.read_text(), state_of(source)[:2]) == ("first", before)
    assert undone(journal) == []


@pytest.mark.parametrize("kind", ["copy", "hardlink", "write"])
def test_the_last_bytes_of_a_photo_are_not_removed(kind: str, source: Path, target: Path) -> None:
    journal = take(kind, source, target)
    source.unlink()
    [one] = undone(journal)
    assert one.left in (
        "what it is a copy of is no longer there",
        "what it was taken from was changed since, or is no longer there",
    )
    assert target.read_text() == "first"
    # What was left can be undone later.
    source.write_text("first")
    if kind != "write":
        assert [one.did for one in undone(journal)] == [True]


def test_a_copy_is_not_removed_where_its_original_became_a_link_to_it(source: Path, target: Path) -> None:
    journal = take("copy", source, target)
    source.unlink()
    source.symlink_to(target)
    [one] = undone(journal)
    assert one.left == "what it is a copy of is a link to it by now"
    assert source.read_text() == "first"


@pytest.mark.parametrize("changed", ["source", "target"])
@pytest.mark.parametrize("kind", ["copy", "write"])
def test_what_was_changed_since_is_left(kind: str, changed: str, source: Path, target: Path) -> None:
    journal = take(kind, source, target)
    file = {"source": source, "target": target}[changed]
    stat = file.stat()
    file.write_text("other")
    # As tools do that set the time back.
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    [one] = undone(journal)
    assert one.left is not None
    assert "changed since" in one.left
    assert file.read_text() == "other"
    assert target.exists()


def test_a_copy_whose_times_alone_changed_is_removed(source: Path, target: Path) -> None:
    journal = take("copy", source, target)
    os.utime(target)
    os.utime(source)
    assert [one.did for one in undone(journal)] == [True]


def test_a_moved_file_that_was_changed_goes_back_as_it_is(source: Path, target: Path) -> None:
    journal = take("move", source, target)
    target.write_text("edited")
    assert [one.did for one in undone(journal)] == [True]
    assert (source.read_text(), target.exists()) == ("edited", False)


def test_nothing_is_moved_over_a_file_that_came_since(source: Path, target: Path) -> None:
    journal = take("move", source, target)
    source.write_text("newer")
    [one] = undone(journal)
    assert one.left == "another file is at its old place"
    assert (source.read_text(), target.read_text()) == ("newer", "first")
    source.unlink()
    assert [one.did for one in undone(journal)] == [True]


def test_a_moved_file_goes_back_to_a_folder_that_is_gone(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "gone" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("first")
    journal = take("move", folder / "a.txt", target)
    folder.rmdir()
    folder.parent.rmdir()
    assert [one.did for one in undone(journal)] == [True]
    assert (folder / "a.txt").read_text() == "first"


def test_what_is_gone_is_said(source: Path, target: Path) -> None:
    journal = take("move", source, target)
    target.unlink()
    [one] = undone(journal)
    assert one.left == "it is no longer there"
    for kind in ("copy", "symlink"):
        source.write_text("first")
        journal = take(kind, source, target)
        target.unlink()
        assert undone(journal) == [Undone(read_journal(journal).steps[1].step, did=False)]


def test_a_link_that_became_a_file_is_left(source: Path, target: Path) -> None:
    journal = take("symlink", source, target)
    target.unlink()
    target.write_text("mine")
    [one] = undone(journal)
    assert (one.left, target.read_text()) == ("it is another file by now", "mine")


def test_a_folder_goes_if_it_is_empty(tmp_path: Path) -> None:
    with Journal.create(tmp_path, command="sort") as journal:
        for name in ("cat", "cat/2024", "dog"):
            folder = tmp_path / name
            journal.take(Step(kind="folder", target=str(folder)), folder.mkdir)
    (tmp_path / "dog" / "mine.txt").write_text("x")
    dog, year, cat = undone(journal.path)
    assert (year.did, cat.did, dog.did) == (True, True, False)
    assert dog.left == "Directory not empty"
    assert not (tmp_path / "cat").exists()
    assert (tmp_path / "dog" / "mine.txt").exists()


def test_a_step_of_a_newer_clipcli_is_refused_before_anything_is_done(source: Path, target: Path) -> None:
    journal = take("copy", source, target)
    with Journal.go_on(read_journal(journal)) as more:
        more.take(Step(kind="fold", target="x"), lambda: None)
    with pytest.raises(BadFile, match="has a step 'fold', of a newer clipcli"):
        undone(journal)
    assert target.exists()


def test_hidden_files_that_a_kill_left_are_removed(source: Path, target: Path) -> None:
    journal = take("copy", source, target)
    part = target.with_name(f".{target.name}.part")
    part.write_text("half")
    undone(journal)
    assert not part.exists()
