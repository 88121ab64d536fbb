"""Corrections: a row a decision, on disk at once, read back from any program, and from several persons."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipcli.errors import BadFile, InputNotFound, OutputFailed
from clipcli.events import Noted, Warned
from clipcli.notices import Notices
from clipcli.outputs.correction import Correction
from clipcli.outputs.corrections import append_corrections, read_corrections

NINE, TEN = "2026-05-01T09:00:00+00:00", "2026-05-01T10:00:00+00:00"
HEADER = "path,label,reviewed_at\n"
TWO = [Correction("a.jpg", ("cat",), NINE), Correction("b, c.jpg", (), TEN)]
SEVERAL = [Correction("a.jpg", ("cat", "red; or so"), NINE), Correction("b.jpg", (), TEN)]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | st.binary(
    min_size=1, max_size=8
).map(lambda name: os.fsdecode(name.replace(b"\0", b"_")))


@pytest.fixture
def _without_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy disk takes its time for each row."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def test_a_row_is_on_disk_before_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, synced = tmp_path / "corrections.csv", []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append((os.fstat(number).st_ino, file.read_text())))
    append_corrections(file, TWO[:1])
    assert synced == [(file.stat().st_ino, f"{HEADER}a.jpg,cat,{NINE}\n")]


def read(*files: Path) -> list[Correction]:
    return list(read_corrections(files, Notices()).by_path.values())


def said(notices: Notices) -> list[str]:
    return [event.message for event in notices.events() if isinstance(event, Warned | Noted)]


def test_a_file_begins_with_its_columns_and_grows(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    append_corrections(file, TWO[:1])
    append_corrections(str(file), TWO[1:])
    assert file.read_text() == f'{HEADER}a.jpg,cat,{NINE}\n"b, c.jpg",,{TEN}\n'
    assert read(file) == TWO
    assert [correction.label for correction in read(file)] == ["cat", None]


def test_several_labels_have_a_column(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    append_corrections(file, SEVERAL, several=True)
    assert file.read_text() == f'path,label,labels,reviewed_at\na.jpg,cat,"cat;""red; or so""",{NINE}\nb.jpg,,,{TEN}\n'
    assert read(file) == SEVERAL


def test_several_labels_need_their_column(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    append_corrections(file, TWO)
    before = file.read_bytes()
    with pytest.raises(BadFile, match="no column for several labels; give another file"):
        append_corrections(file, SEVERAL)
    # It is said before the first decision too.
    with pytest.raises(BadFile, match="no column for several labels"):
        append_corrections(file, [], several=True)
    assert file.read_bytes() == before


def test_the_last_row_of_a_path_counts(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    append_corrections(file, [Correction("a.jpg", ("cat",), TEN), Correction("a.jpg", ("dog",), NINE)])
    assert read(file) == [Correction("a.jpg", ("dog",), NINE)]
    assert read_corrections([file], Notices()).conflicts == ()


@pytest.mark.usefixtures("_without_disk")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True), labels=st.lists(NAMES, max_size=3))
def test_odd_names_come_back(tmp_path: Path, names: list[str], labels: list[str]) -> None:
    file = tmp_path / "corrections.csv"
    file.unlink(missing_ok=True)
    corrections = [Correction(name, tuple(labels), NINE) for name in names]
    append_corrections(file, corrections, several=True)
    assert read(file) == corrections


@pytest.mark.usefixtures("_without_disk")
@pytest.mark.parametrize("several", [False, True])
def test_a_file_cut_anywhere_gives_whole_rows_alone_and_goes_on(tmp_path: Path, several: bool) -> None:
    file = tmp_path / "corrections.csv"
    odd = Correction('odd "one",\nof two lines.jpg', ("cat", "dog") if several else ("cat",), NINE)
    rows = [TWO[0], odd, TWO[1]]
    ends = []
    for row in rows:
        append_corrections(file, [row], several=several)
        ends.append(file.stat().st_size)
    data = file.read_bytes()
    for size in range(len(data)):
        file.write_bytes(data[:size])
        # A row whose line end alone is missing is whole, and one that lacks a bit of its time's zone as well.
        whole = sum(end - 1 <= size for end in ends)
        notices = Notices()
        found = list(read_corrections([file], notices).by_path.values())
        assert found == rows[: len(found)]
        assert len(found) - whole in (0, 1)
        append_corrections(file, [Correction("new.jpg", ("dog",), TEN)], several=several)
        assert [row.path for row in read(file)][-1] == "new.jpg"
        assert [row for row in read(file) if row.path != "new.jpg"] == found


def test_a_row_that_was_cut_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text(f"{HEADER}a.jpg,cat,{NINE}\nb.jpg,do")
    notices = Notices()
    assert list(read_corrections([file], notices).by_path) == ["a.jpg"]
    [message] = said(notices)
    assert message.startswith(f"1 last row of corrections was cut short, {file}: it was left out")


@pytest.mark.parametrize("row", ['a.jpg,c"at', 'a.jpg,"cat', '"a.jpg,cat'])
@pytest.mark.parametrize("more", [0, 5])
def test_rows_behind_a_stray_quote_stay(tmp_path: Path, row: str, more: int) -> None:
    file = tmp_path / "corrections.csv"
    rows = "".join(f"{n}.jpg,dog,{TEN}\n" for n in range(more))
    before = f"{HEADER}first.jpg,cat,{NINE}\n{row},{NINE}\n{rows}"
    file.write_text(before)
    for act in (lambda: read(file), lambda: append_corrections(file, TWO)):
        with pytest.raises(BadFile, match=r"corrections\.csv line 3: a quote without its end; mend the quotes"):
            act()
    assert file.read_text() == before


def test_a_row_takes_back_the_last_one_that_says_the_same(tmp_path: Path) -> None:
    file, others = tmp_path / "corrections.csv", tmp_path / "others.csv"
    cat, dog = (Correction("a.jpg", (label,), NINE) for label in ("cat", "dog"))
    append_corrections(file, [cat, dog, Correction("b.jpg", (), NINE)])
    append_corrections(file, [Correction("a.jpg", ("dog",), TEN, undone=True)])
    assert file.read_text().splitlines()[-1] == f"a.jpg,dog,{TEN} undone"
    assert read_corrections([file], Notices()).by_path == {"a.jpg": cat, "b.jpg": Correction("b.jpg", (), NINE)}
    append_corrections(file, [Correction("b.jpg", (), TEN, undone=True), Correction("c.jpg", ("cat",), TEN, True)])
    notices = Notices()
    assert list(read_corrections([file], notices).standing) == [cat]
    assert said(notices) == []
    # It takes back rows of its own file alone, so that files of several persons may be read together or be joined.
    append_corrections(others, [Correction("a.jpg", ("dog",), TEN)])
    assert read_corrections([file, others], Notices()).by_path["a.jpg"].label == "dog"
    joined = tmp_path / "joined.csv"
    joined.write_text(others.read_text() + "".join(file.read_text().splitlines(keepends=True)[1:]))
    assert [row.label for row in read_corrections([joined], Notices()).standing] == ["dog", "cat"]
    assert read_corrections([joined], Notices()).by_path["a.jpg"].label == "cat"


def test_files_of_two_persons_are_combined_and_conflicts_listed(tmp_path: Path) -> None:
    ann, bob = tmp_path / "ann.csv", tmp_path / "bob.csv"
    append_corrections(ann, [Correction("a.jpg", ("cat",), TEN), Correction("b.jpg", ("cat",), NINE)])
    append_corrections(
        bob, [Correction("a.jpg", (), NINE), Correction("b.jpg", ("cat",), TEN), Correction("c", (), TEN)]
    )
    found = read_corrections([ann, bob], Notices())
    assert found.by_path == {
        "a.jpg": Correction("a.jpg", ("cat",), TEN),
        "b.jpg": Correction("b.jpg", ("cat",), TEN),
        "c": Correction("c", (), TEN),
    }
    assert [conflict.in_words() for conflict in found.conflicts] == [
        f"a.jpg: none of the labels in {bob}, 'cat' in {ann}, which is the latest"
    ]
    assert read_corrections([bob, ann], Notices()).by_path["a.jpg"].label == "cat"


def test_the_order_of_several_labels_is_no_conflict(tmp_path: Path) -> None:
    for name, labels in (("x.csv", ("cat", "dog")), ("y.csv", ("dog", "cat"))):
        append_corrections(tmp_path / name, [Correction("a.jpg", labels, NINE)], several=True)
    assert read_corrections([tmp_path / "x.csv", tmp_path / "y.csv"], Notices()).conflicts == ()


def test_of_one_time_the_last_file_counts(tmp_path: Path) -> None:
    for name, label in (("x.csv", "cat"), ("y.csv", "dog")):
        append_corrections(tmp_path / name, [Correction("a.jpg", (label,), NINE)])
    assert read_corrections([tmp_path / "x.csv", tmp_path / "y.csv"], Notices()).by_path["a.jpg"].label == "dog"
    assert read_corrections([tmp_path / "y.csv", tmp_path / "x.csv"], Notices()).by_path["a.jpg"].label == "cat"


def test_a_table_of_excel_is_read_and_not_gone_on_in(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_bytes(f"\ufeffpath;label;reviewed_at;note\r\na.jpg;cat;{NINE};so\r\nb.jpg;;;\r\n".encode())
    notices = Notices()
    found = read_corrections([file], notices)
    assert found.by_path == {"a.jpg": Correction("a.jpg", ("cat",), NINE), "b.jpg": Correction("b.jpg", (), "")}
    assert said(notices) == [
        f"1 correction has no time that can be read, {file} line 3: it counts as older than those that have one"
    ]
    with pytest.raises(BadFile, match="was saved by another program, or holds no corrections; give another file"):
        append_corrections(file, TWO)


def test_times_are_compared_in_utc(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"{HEADER}a.jpg,cat,2026-05-01T11:30:00+02:00\nb.jpg,cat,2026-05-01 08:00\n")
    (tmp_path / "y.csv").write_text(f"{HEADER}a.jpg,dog,{TEN}\nb.jpg,dog,2026-05-01T07:59:00Z\n")
    found = read_corrections([tmp_path / "x.csv", tmp_path / "y.csv"], Notices()).by_path
    assert found["a.jpg"] == Correction("a.jpg", ("dog",), TEN)
    assert found["b.jpg"] == Correction("b.jpg", ("cat",), "2026-05-01T08:00:00+00:00")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,score\na.jpg,1\n", "has the columns path,score; give a file as clipcli review writes it"),
        ("path,label,score,error\na.jpg,cat,0.9,\n", "is an output of clipcli classify, whose labels nobody may have"),
        (f"{HEADER},cat,{NINE}\n", "line 2: no path"),
        (f"{HEADER}a.jpg,cat,{NINE},more\n", "line 2: 4 fields for 3 columns"),
        (f"path,label,labels,reviewed_at\na.jpg,cat,dog;cow,{NINE}\n", "line 2: 'cat' is not among its labels"),
        (f'path,label,labels,reviewed_at\na.jpg,cat,"""cat",{NINE}\n', "line 2: .* in its labels"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(BadFile, match=message):
        read(tmp_path / "x.csv")


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    for name, content in (("x.csv", ""), ("y.csv", HEADER)):
        (tmp_path / name).write_text(content)
        assert read(tmp_path / name) == []
        append_corrections(tmp_path / name, TWO)
        assert (tmp_path / name).read_text().startswith(f"{HEADER}a.jpg")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"cannot read .*missing\.csv: No such file"):
        read(tmp_path / "missing.csv")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadFile, match=r"x\.parquet does not end in \.csv or \.tsv or \.jsonl"):
        read(tmp_path / "x.parquet")
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\n")
    with pytest.raises(BadFile, match="holds no corrections"):
        append_corrections(tmp_path / "photo.csv", TWO)
    (tmp_path / "short.csv").write_bytes(b"precious")
    with pytest.raises(BadFile, match="no file of corrections"):
        append_corrections(tmp_path / "short.csv", TWO)
    assert (tmp_path / "short.csv").read_bytes() == b"precious"
    with pytest.raises(OutputFailed, match=r"cannot write .*: Is a directory"):
        append_corrections(tmp_path, TWO)
