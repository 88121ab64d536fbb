"""The journal: a line on the disk before each step and one after it, read back whatever a kill left of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clipcli.actions.journal import Journal, Step, journals_in, read_journal
from clipcli.errors import BadFile, InputNotFound, OutputFailed, UsageError
from clipcli.files.identity import state_of


def step(target: Path, **values: str) -> Step:
    return Step(kind="write", target=str(target), **values)  # type: ignore[arg-type]


def test_a_step_is_on_the_disk_before_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: on_disk.append(os.fstat(descriptor).st_size))
    seen = []
    with Journal.create(tmp_path, command="sort") as journal:
        for name in "ab":
            target = tmp_path / name

            def act(target: Path = target) -> None:
                seen.append((journal.path.stat().st_size == on_disk[-1], journal.path.read_text().count("\n")))
                target.write_text("x")

            journal.take(step(target, sha256="1"), act)
    # The header, the beginning of the first, its end and the beginning of the second.
    assert seen == [(True, 2), (True, 4)]
    assert on_disk[-1] == journal.path.stat().st_size


def test_it_says_what_was_begun_done_and_undone(tmp_path: Path) -> None:
    names = [tmp_path / f"{n}-\udcff.txt" for n in range(3)]
    with Journal.create(tmp_path, command="sort") as journal:
        journal.take(step(names[0], source="s", part="p", kept="k", sha256="1"), lambda: names[0].write_text("x"))
        with pytest.raises(RuntimeError):
            journal.take(step(names[1]), lambda: (_ for _ in ()).throw(RuntimeError).__next__())
        journal.take(step(names[2]), lambda: None)
        journal.undone(3)
    found = read_journal(journal.path)
    assert (found.command, found.folder, found.path) == ("sort", os.getcwd(), journal.path)
    one, two, three = found.steps[1], found.steps[2], found.steps[3]
    assert one.step == step(names[0], source="s", part="p", kept="k", sha256="1")
    assert (one.after, one.is_done, one.is_undone) == (state_of(names[0]), True, False)
    assert (two.step.target, two.is_done, two.is_undone) == (str(names[1]), False, False)
    assert (three.after, three.is_done, three.is_undone) == (None, True, True)


def test_only_the_last_line_may_be_an_end(tmp_path: Path) -> None:
    with Journal.create(tmp_path, command="sort") as journal:
        journal.end()
    found = read_journal(journal.path)
    assert found.has_ended
    with Journal.go_on(found) as journal:
        journal.take(step(tmp_path / "a"), lambda: None)
    assert not read_journal(journal.path).has_ended


def test_a_line_that_was_cut_short_is_passed_over_and_removed(tmp_path: Path) -> None:
    with Journal.create(tmp_path, command="sort") as journal:
        journal.take(step(tmp_path / "a"), lambda: None)
        journal.take(step(tmp_path / "b"), lambda: None)
    whole = journal.path.read_bytes()
    for cut in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        journal.path.write_bytes(whole[:cut])
        found = read_journal(journal.path)
        assert len(found.steps) == whole[: whole[:cut].rfind(b"\n") + 1].count(b'"step": ')
        with Journal.go_on(found) as again:
            again.take(step(tmp_path / "c"), lambda: None)
        lines = [json.loads(line) for line in journal.path.read_bytes().splitlines()]
        assert lines[-2]["target"] == str(tmp_path / "c")
        assert lines[-2]["step"] == len(found.steps) + 1


def test_journals_of_the_same_second_have_names_of_their_own(tmp_path: Path) -> None:
    journals = []
    for _ in range(3):
        with Journal.create(tmp_path, command="sort") as journal:
            journals.append(journal.path)
    assert len(set(journals)) == 3
    (tmp_path / "clipcli-journal-mine.jsonl").write_text("{}\n")
    (tmp_path / ".clipcli-journal-1.jsonl.0123abcd.part").touch()
    with Journal.create(tmp_path, command="sort") as journal:
        journals.append(journal.path)
    assert not list(tmp_path.glob(".*"))
    assert [found.path for found in journals_in(tmp_path)] == journals


def test_a_journal_that_is_written_is_not_gone_on_with(tmp_path: Path) -> None:
    with Journal.create(tmp_path, command="sort") as journal, pytest.raises(UsageError, match="another run is writing"):
        Journal.go_on(read_journal(journal.path))
    Journal.go_on(read_journal(journal.path)).__exit__(None, None, None)


@pytest.mark.parametrize("content", ["", "x\n", "{}\n", "[1]\n", '{"clipcli_journal": 1}\n', '"a"\n'])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(BadFile, match="is no journal of clipcli"):
        read_journal(tmp_path / "a.jsonl")


def test_a_journal_of_another_version_or_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"clipcli_journal": 2, "clipcli": "9.9"}\n')
    with pytest.raises(BadFile, match=r"of another version of clipcli \(9\.9\)"):
        read_journal(tmp_path / "a.jsonl")
    with pytest.raises(InputNotFound, match="cannot read"):
        read_journal(tmp_path / "none.jsonl")
    with pytest.raises(OutputFailed, match="nothing was done"):
        Journal.create(tmp_path / "none", command="sort")
