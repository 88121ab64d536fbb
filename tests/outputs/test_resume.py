"""Rows of an interrupted run: which are taken, what they must be, and that settings which changed are noticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import in_memory

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.errors import BadFile, ClipcliError, OutputExists, UsageError
from clipcli.events import Event, ModelLoaded, RowsReady, Warned
from clipcli.files.atomic import part_of, parts_of
from clipcli.files.locks import is_held
from clipcli.outputs import WRITERS, OpenOutput, resume
from clipcli.outputs.earlier import find_earlier, left_over
from clipcli.outputs.parquet import ParquetWriter, to_parquet
from clipcli.records import ImageItem, Row

LABELS = ["cat", "dog"]
MODEL = ModelLoaded("model", "on cpu", "")


def row(n: int, *, label: str = "cat", score: float = 0.5) -> Row:
    """The row of the n-th image; every third one is bad."""
    return Row(f"{n}.jpg", (), (), "truncated") if n % 3 == 2 else Row(f"{n}.jpg", (label,), (score + n / 1000,))


def items(count: int) -> list[ImageItem]:
    return [in_memory(f"{n}.jpg") for n in range(count)]


def earlier(rows: Sequence[Row]) -> resume.Earlier:
    return resume.Earlier(Path("old.csv"), lambda: iter(rows), is_output=True, parts=())


def gone_on(
    rows: Sequence[Row], count: int, *, make: Callable[[int], Row] = row, unit: int = 4
) -> tuple[list[Row | Event], int]:
    """What comes out where `rows` of `count` images were there, and from which image on they were labelled."""
    resumed = resume.check(earlier(rows), items(count), labels=LABELS)
    start = resumed.start(unit)
    labelled = (RowsReady(tuple(make(n) for n in range(a, min(a + 3, count)))) for a in range(start, count, 3))
    events = chain([MODEL], labelled)
    came: list[Row | Event] = []
    for event in resume.go_on(resumed, events, start=start, window=2 * unit):
        came += event.rows if isinstance(event, RowsReady) else [event]
    return came, start


@pytest.mark.parametrize("there", range(1, 20))
def test_the_rows_are_those_of_a_run_that_was_never_interrupted(there: int) -> None:
    came, start = gone_on([row(n) for n in range(there)], 20)
    assert came == [MODEL, *(row(n) for n in range(20))]
    assert start == max(0, (there // 4 - 1) * 4)


def test_bad_images_at_the_end_are_passed_over_for_the_comparison() -> None:
    bad = [Row(f"{n}.jpg", (), (), "truncated") for n in range(6, 19)]
    came, start = gone_on([*map(row, range(6)), *bad], 20, make=lambda n: row(n) if n < 6 else row(2 + 3 * n))
    assert start == 4
    assert came[1:7] == [row(n) for n in range(6)]


def test_nothing_is_compared_where_no_image_was_good() -> None:
    bad = [Row(f"{n}.jpg", (), (), "truncated") for n in range(6)]
    came, start = gone_on(bad, 8)
    assert (came[:5], start) == ([MODEL, *bad[:4]], 4)


@pytest.mark.parametrize("make", [partial(row, label="dog"), partial(row, score=0.52)])
def test_other_settings_are_refused_before_the_first_row(make: Callable[[int], Row]) -> None:
    resumed = resume.check(earlier([row(n) for n in range(14)]), items(20), labels=LABELS)
    events = resume.go_on(resumed, iter([RowsReady(tuple(map(make, range(8, 20))))]), start=8, window=8)
    with pytest.raises(UsageError, match=r"old\.csv was begun with other labels, another model or other settings: 9"):
        next(events)


def test_small_differences_are_warned_of() -> None:
    (_, warned, *rows), _ = gone_on([row(n) for n in range(14)], 20, make=partial(row, score=0.504))
    assert isinstance(warned, Warned)
    assert "come out a little otherwise now, by up to 0.004" in warned.message
    assert rows == [*map(row, range(8)), *(row(n, score=0.504) for n in range(8, 20))]


def test_images_that_are_gone_show_nothing_about_the_settings() -> None:
    with pytest.raises(UsageError, match="none of the last images"):
        gone_on([row(n) for n in range(14)], 20, make=lambda n: Row(f"{n}.jpg", (), (), "no such file"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0), row(4)], r"its row 2 is 4\.jpg where 1\.jpg was expected; .*--overwrite"),
        ([row(n) for n in range(9)], "more rows than the 8 images"),
        ([row(0), row(1, label="horse")], "begun with other labels: 'horse' is none of these"),
    ],
)
def test_rows_of_something_else_are_refused(rows: list[Row], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resume.check(earlier(rows), items(8), labels=LABELS)


def test_names_that_are_not_utf8_are_the_same_in_every_format() -> None:
    odd = [in_memory(os.fsdecode(b"\xff.jpg"))]
    for path in (os.fsdecode(b"\xff.jpg"), r"\udcff.jpg"):
        assert resume.check(earlier([Row(path, ("cat",), (1.0,))]), odd, labels=LABELS).count == 1


def test_rows_that_went_away_meanwhile_are_noticed() -> None:
    resumed = resume.Resumed(earlier([row(0)]), count=2, last=1)
    with pytest.raises(ClipcliError, match="was changed while it was read"):
        list(resumed.rows(2))


def test_units_are_whole_batches_on_every_device() -> None:
    sizes = {*BATCH_SIZES.values(), *(1 << n for n in range(8))}
    assert all(max(BATCH_SIZES.values()) % size == 0 for size in sizes)


def part(target: Path, rows: Sequence[Row], *, age: int = 0, format: str = "csv", top_k: int = 1) -> Path:
    """A file that a killed run has left, so many seconds ago."""
    path = part_of(target)
    writer = WRITERS[format].writer(str(path), top_k=top_k)
    writer.write(rows)
    writer.close()
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def find(target: Path) -> resume.Earlier | None:
    return find_earlier(str(target), read=partial(WRITERS["csv"].read_rows, top_k=1))


ROWS = [row(n) for n in range(9)]
OTHERS = [row(n, label="dog") for n in range(9)]


def test_without_rows_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    assert find(target) is None
    part_of(target).touch()
    target.touch()
    assert find(target) is None


def test_the_longer_of_two_that_begin_alike_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    parts = [part(target, ROWS[:3], age=1), part(target, ROWS[:5], age=3), part(target, ROWS[:2], age=0)]
    found = find(target)
    assert found is not None
    assert (found.path, found.is_output, list(found.read())) == (parts[1], False, ROWS[:5])
    assert set(found.parts) == set(parts)


def test_the_newest_is_taken_where_they_differ(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    part(target, OTHERS, age=3)
    part(target, OTHERS, age=2).rename(target)
    newest = part(target, ROWS[:2], age=1)
    found = find(target)
    assert found is not None
    assert (found.path, found.parts) == (newest, (newest,))


def test_the_output_itself_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    part(target, ROWS).rename(target)
    part(target, ROWS[:2], age=-1)
    found = find(target)
    assert found is not None
    assert (found.path, found.is_output) == (target, True)


def test_a_part_with_other_columns_counts_only_where_there_is_no_other(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    odd = part(target, ROWS, top_k=2)
    with pytest.raises(BadFile, match="has the columns path,label,score,label_2,score_2,error and not path,label"):
        find(target)
    good = part(target, ROWS)
    found = find(target)
    assert found is not None
    assert (found.path, found.parts) == (good, (good,))
    assert odd.exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("precious", OutputExists),
        ("precious\n", BadFile),
        ("path,label,score,error\n", OutputExists),
        ("path,label,score,error\na,cat\n", BadFile),
        ("path,label,score,error\na,cat,high,\n", BadFile),
        ("path,label,score,error\n\n", BadFile),
    ],
)
def test_an_output_that_holds_something_else_is_refused(tmp_path: Path, text: str, error: type[UsageError]) -> None:
    target = tmp_path / "out.csv"
    target.write_text(text)
    with pytest.raises(error, match="--overwrite"):
        find(target)


@pytest.mark.parametrize(
    "line", ["[]", "precious", '{"path": 1}', '{"path": 1, "label": "cat", "score": 0.5, "error": null}', "\x00"]
)
def test_json_lines_of_something_else_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "out.jsonl").write_text(line + "\n")
    with pytest.raises(BadFile):
        list(WRITERS["jsonl"].read_rows(str(tmp_path / "out.jsonl"), top_k=1))


def test_a_run_that_is_alive_is_not_resumed(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with OpenOutput(str(target), format="csv", top_k=1) as output:
        output.write(ROWS)
        assert left_over(str(target)) == []
        with pytest.raises(UsageError, match="another run is writing"):
            find(target)
    [killed] = [part(target, ROWS)]
    assert not is_held(killed)
    assert left_over(str(target)) == [killed]


@pytest.mark.parametrize("format", WRITERS)
def test_with_fewer_rows_than_before_everything_stays(tmp_path: Path, format: str) -> None:
    target = tmp_path / "out"
    old = part(target, ROWS, format=format)
    for count in (3, 9):
        with OpenOutput(str(target), format=format, top_k=1, at_least=5, superseded=[old]) as output:
            output.write(ROWS[:count])
        assert (target.exists(), parts_of(target)) == ((False, [old]) if count == 3 else (True, []))
    assert list(WRITERS[format].read_rows(str(target), top_k=1)) == ROWS


def test_parts_of_other_outputs_and_of_runs_that_are_alive_are_never_removed(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    (tmp_path / ".out.csv.precious.part").touch()
    other = part(tmp_path / "out.csv.csv", ROWS)
    with OpenOutput(str(target), format="csv", top_k=1) as alive:
        parts = parts_of(target)
        with OpenOutput(str(target), format="csv", top_k=1, overwrite=True, superseded=parts) as output:
            output.write(ROWS)
        assert parts_of(target) == parts
        alive._overwrite = True
    assert other.exists()
    assert (tmp_path / ".out.csv.precious.part").exists()


def test_a_long_stream_becomes_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcli.outputs.parquet._GROUP_BYTES", 2000)
    writer = ParquetWriter(str(tmp_path / "stream"), top_k=1)
    for n in range(0, 300, 3):
        writer.write([row(n), row(n + 1), row(n + 2)])
    writer.close()
    to_parquet(tmp_path / "stream", tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert 2 < file.metadata.num_row_groups < 20
    assert file.read()["path"].to_pylist() == [f"{n}.jpg" for n in range(300)]


def test_a_parquet_file_that_was_cut_holds_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    pq.write_table(pa.table({"path": ["a"]}), path)
    path.write_bytes(path.read_bytes()[:-3])
    assert list(WRITERS["parquet"].read_rows(str(path), top_k=1)) == []
