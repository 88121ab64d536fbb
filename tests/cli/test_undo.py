"""`clipcli undo`: what it brought back, and what it left, in words and as an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

import clipcli
from clipcli.actions.journal import Journal, Step

from .conftest import Run


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of two folders and a file in each, and of one that was not written."""
    with Journal.create(tmp_path, command="sort") as journal:
        for name in ("cat", "dog"):
            folder = tmp_path / name
            journal.take(Step(kind="folder", target=str(folder)), folder.mkdir)
            photo, target = tmp_path / f"{name}.jpg", folder / f"{name}.jpg"
            photo.write_text(name)
            step = Step(kind="move", target=str(target), source=str(photo), part=str(folder / ".x.part"))
            journal.take(step, lambda photo=photo, target=target: photo.rename(target))
    return journal.path


def test_all_is_brought_back_once(run: Run, journal: Path) -> None:
    done = run("undo", journal.name)
    assert (done.code, done.out) == (0, "")
    assert done.err == "Undone: 2 files moved back, 2 empty folders removed.\n"
    assert [path.name for path in sorted(Path().iterdir())] == ["cat.jpg", journal.name, "dog.jpg"]
    again = run("undo", journal.name)
    assert (again.code, again.err) == (0, "Nothing to undo: it was undone before.\n")


def test_what_is_left_is_named_and_may_be_undone_later(run: Run, journal: Path) -> None:
    Path("cat.jpg").write_text("another")
    done = run("undo", journal.name)
    assert done.code == 3
    cat = journal.parent / "cat"
    assert done.err.splitlines() == [
        "Undone: 1 file moved back, 1 empty folder removed.",
        f"Left as it is: {cat / 'cat.jpg'}: another file is at its old place.",
    ]
    Path("cat.jpg").unlink()
    assert run("undo", journal.name).err == "Undone: 1 file moved back, 1 empty folder removed.\n"
    assert Path("cat.jpg").read_text() == "cat"


def test_a_folder_that_holds_something_else_is_named(run: Run, journal: Path) -> None:
    Path("cat/mine.txt").touch()
    assert run("undo", journal.name).err.splitlines()[1:] == [
        f"Left as it is: {journal.parent / 'cat'}: Directory not empty."
    ]


def test_of_several_journals_the_newest_is_undone_first(run: Run, journal: Path) -> None:
    target = journal.parent / "cat" / "new.jpg"
    with Journal.create(journal.parent, command="sort") as second:
        step = Step(kind="move", target=str(target), source=str(journal.parent / "cat" / "cat.jpg"), part="x")
        second.take(step, lambda: (journal.parent / "cat" / "cat.jpg").rename(target))
    warned = run("undo", journal.name, "--show-config")
    assert warned.out == f"journals:\n- {journal.name}\n"
    done = run("undo", journal.name, second.path.name, journal.name)
    assert (done.code, done.err) == (0, "Undone: 3 files moved back, 2 empty folders removed.\n")
    assert Path("cat.jpg").read_text() == "cat"


def test_a_later_journal_that_was_not_given_is_named(run: Run, journal: Path) -> None:
    with Journal.create(journal.parent, command="tag") as second:
        step = Step(kind="folder", target=str(journal.parent / "later"))
        second.take(step, (journal.parent / "later").mkdir)
    done = run("undo", journal)
    than = f"was begun later than {journal}, and may be about the same files; undo that one first, or give both"
    assert f"{second.path} {than}" in done.err
    assert run("undo", journal, second.path).err == "Undone: 1 empty folder removed.\n"


def test_the_same_in_python(journal: Path) -> None:
    found = clipcli.undo(journal)
    assert (found.undone, found.left, found.before) == ({"move": 2, "folder": 2}, (), 0)
    assert clipcli.undo(journal).before == 4


def test_without_a_journal_it_says_what_is_missing(run: Run) -> None:
    Path("a.jsonl").write_text("{}\n")
    assert run("undo").err.startswith("clipcli: no JOURNAL was given; give the clipcli-journal-….jsonl that")
    done = run("undo", "a.jsonl")
    assert (done.code, done.err) == (2, "clipcli: a.jsonl is no journal of clipcli; give a clipcli-journal-….jsonl\n")
    assert run("undo", "no.jsonl").err.startswith("clipcli: cannot read no.jsonl: No such file or directory; give")


def test_the_settings_are_shown(run: Run) -> None:
    assert run("undo", "a.jsonl", "--show-config").out == "journals:\n- a.jsonl\n"
