"""Rows of an interrupted run: which are taken, what they must be, and that settings which changed are named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import in_memory

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.errors import BadFile, ClipcliError, OutputExists, UsageError
from clipcli.events import Event, ModelKnown, ModelLoaded, RowsReady
from clipcli.files.atomic import part_of, parts_of
from clipcli.files.locks import is_locked
from clipcli.files.manifest import Manifest, manifest_path, read_manifest, sha256_of, write_manifest
from clipcli.outputs import WRITERS, resume
from clipcli.outputs.differences import differences
from clipcli.outputs.earlier import Earlier, find_earlier, left_over
from clipcli.outputs.open import Output
from clipcli.outputs.parquet import ParquetWriter, to_parquet
from clipcli.outputs.read import read_begun
from clipcli.records import ImageItem, ModelRecord, Provenance, Row
from clipcli.scoring.schema import Schema

FACTS = ModelRecord("model", "0123456789abcdef", "32 pixels", "fp32", "cpu")
SETTINGS = {"inputs": ("photos",), "labels": "labels.txt", "top_k": 1, "score": "auto", "batch_size": 4}
CLASSES = tuple({"label": label, "aliases": (), "descriptions": ()} for label in ("cat", "dog"))
MADE = Provenance(
    command="classify",
    settings=SETTINGS,
    model="model",
    classes=CLASSES,
    prompts="imagenet",
    templates=("a {}",),
    classifier=None,
    inputs=("photos",),
    images=20,
    images_digest="d",
    kept=(),
)
MANIFEST = Manifest(provenance=MADE, model=FACTS, format="csv", begun="2026-01-02T03:04:05+00:00")


def row(n: int, *, label: str = "cat", score: float = 0.5) -> Row:
    """The row of the n-th image; every third one is bad."""
    return Row(f"{n}.jpg", (), (), "truncated") if n % 3 == 2 else Row(f"{n}.jpg", (label,), (score + n / 1000,))


def items(count: int) -> list[ImageItem]:
    return [in_memory(f"{n}.jpg") for n in range(count)]


def earlier(rows: Sequence[Row], manifest: Manifest = MANIFEST) -> Earlier:
    return Earlier(Path("old.csv"), manifest, lambda: iter(rows), is_output=True, parts=())


def gone_on(
    rows: Sequence[Row], count: int, *, unit: int = 4, model: ModelLoaded | ModelKnown | None = None
) -> tuple[list[Row | Event], int]:
    """What comes out where `rows` of `count` images were there, and from which image on they were labelled."""
    resumed = resume.check(earlier(rows), items(count), provenance=MADE)
    start = resumed.start(unit)
    labelled = (RowsReady(tuple(row(n) for n in range(a, min(a + 3, count)))) for a in range(start, count, 3))
    events = chain([model or ModelLoaded("model", "on cpu", "", FACTS)], labelled)
    came: list[Row | Event] = []
    for event in resume.go_on(resumed, events, start=start):
        came += event.rows if isinstance(event, RowsReady) else [event]
    return came, start


@pytest.mark.parametrize("there", range(1, 20))
def test_the_rows_are_those_of_a_run_that_was_never_interrupted(there: int) -> None:
    came, start = gone_on([row(n) for n in range(there)], 20)
    assert came[1:] == [row(n) for n in range(20)]
    assert start == there // 4 * 4


def changed(**settings: Any) -> Provenance:
    return replace(MADE, settings={**SETTINGS, **settings})


def test_what_decides_no_row_may_change() -> None:
    now = changed(batch_size=8, labels="other.txt", inputs=("more",), workers=2, cache=False)
    assert resume.check(earlier([row(0)]), items(3), provenance=replace(now, inputs=("more",), images=3)).count == 1


ALIASES = ({**CLASSES[0], "aliases": ("tom",)}, CLASSES[1])


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (changed(top_k=2), "--top-k was 1 and is 2;"),
        (changed(score="cosine"), "--score was auto and is cosine;"),
        (changed(engine="openvino"), "--engine was not given and is openvino;"),
        (changed(top_k=2, score="cosine"), "--top-k was 1 and is 2; --score was auto and is cosine;"),
        (replace(MADE, model="other"), "--model was model and is other;"),
        (replace(MADE, classes=CLASSES[:1]), "--labels was cat, dog and is cat;"),
        (replace(MADE, classes=ALIASES), "--labels gave other aliases or descriptions of 'cat';"),
        (replace(MADE, prompts="plain", templates=("{}",)), "--prompts was imagenet and is plain;"),
        (replace(MADE, templates=("{}",)), "the templates of --prompts imagenet were others;"),
        (replace(MADE, classifier="d", templates=None), "the classes were given by --labels and are by --classifier;"),
        (replace(MADE, kept=("who",)), "--keep-columns was not given and is who;"),
        (replace(MADE, command="evaluate"), "the command was classify and is evaluate;"),
    ],
)
def test_each_setting_that_differs_is_named_with_its_old_and_new_value(now: Provenance, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        resume.check(earlier([row(0)]), items(20), provenance=now)
    said = str(refused.value)
    assert said.startswith(f"old.csv was begun otherwise: {message} give that again")
    assert said.endswith("start anew with --overwrite in place of --resume")


def test_another_classifier_of_the_same_labels_is_refused() -> None:
    before = replace(MADE, classifier="one", templates=None)
    with pytest.raises(UsageError, match="--classifier was another, of the same labels"):
        resume.check(
            earlier([row(0)], replace(MANIFEST, provenance=before)),
            items(20),
            provenance=replace(before, classifier="two"),
        )


def test_of_many_labels_those_are_shown_that_differ() -> None:
    classes = tuple({"label": f"class {n}", "aliases": (), "descriptions": ()} for n in range(1000))
    before = replace(MANIFEST, provenance=replace(MADE, classes=classes))
    now = replace(MADE, classes=(*classes[:500], *classes[501:]))
    with pytest.raises(UsageError) as refused:
        resume.check(earlier([row(0)], before), items(20), provenance=now)
    assert "--labels was …, class 500, class 501, class 502 and 997 more and is …, class 501," in str(refused.value)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            replace(FACTS, fingerprint="fedcba9876543210"),
            r"weights of model were others \(fingerprint 0123456789ab, now fe",
        ),
        (
            replace(FACTS, pixels=9),
            r"its images became pixels in the way of another version of clipcli;",
        ),
        (replace(FACTS, preprocessing="64 pixels"), r"preprocessing of model was another \(32 pixels, now 64 pixels\)"),
        (replace(FACTS, precision="bf16"), "--precision was fp32 and is bf16"),
        (replace(FACTS, device="cuda"), "--device was cpu and is cuda"),
    ],
)
@pytest.mark.parametrize("kind", [ModelLoaded, ModelKnown])
def test_another_model_is_refused_before_the_first_row(
    facts: ModelRecord, message: str, kind: type[ModelLoaded | ModelKnown]
) -> None:
    resumed = resume.check(earlier([row(n) for n in range(14)]), items(20), provenance=MADE)
    events = resume.go_on(resumed, iter([kind("model", "", "", facts), RowsReady((row(12),))]), start=12)
    with pytest.raises(UsageError, match=f"old.csv was begun otherwise: .*{message}"):
        next(events)


def test_a_model_that_need_not_run_is_on_no_device() -> None:
    came, _ = gone_on(
        [row(n) for n in range(14)], 20, model=ModelKnown("model", "fp32", "", replace(FACTS, device=None))
    )
    assert len(came) == 21


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0), row(4)], r"its row 2 is 4\.jpg where 1\.jpg was expected; .*--overwrite"),
        ([row(n) for n in range(9)], "more rows than the 8 images"),
    ],
)
def test_rows_of_something_else_are_refused(rows: list[Row], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resume.check(earlier(rows), items(8), provenance=MADE)


def test_cells_that_changed_are_noticed() -> None:
    made = replace(MADE, kept=("who", "where"))
    there = [replace(row(0), kept=("Ann", None)), replace(row(1), kept=("Bob", "Rome"))]
    before = earlier(there, replace(MANIFEST, provenance=made))
    same = [
        ImageItem("0.jpg", bytes, cells={"who": "Ann"}),
        ImageItem("1.jpg", bytes, cells={"who": "Bob", "where": "Rome"}),
    ]
    assert resume.check(before, same, provenance=made).count == 2
    other = [same[0], replace(same[1], cells={"who": "Bob", "where": "Oslo"})]
    with pytest.raises(UsageError, match=r"where of 1\.jpg was 'Rome' and is 'Oslo'"):
        resume.check(before, other, provenance=made)


def test_names_that_are_not_utf8_are_the_same_in_every_format() -> None:
    odd = [in_memory(os.fsdecode(b"\xff.jpg"))]
    for path in (os.fsdecode(b"\xff.jpg"), r"\udcff.jpg"):
        assert resume.check(earlier([Row(path, ("cat",), (1.0,))]), odd, provenance=MADE).count == 1


def test_rows_that_went_away_meanwhile_are_noticed() -> None:
    resumed = resume.Resumed(earlier([row(0)]), count=2)
    with pytest.raises(ClipcliError, match="was changed while it was read"):
        list(resumed.rows(2))


def test_units_are_whole_batches_on_every_device() -> None:
    sizes = {*BATCH_SIZES.values(), *(1 << n for n in range(8))}
    assert all(max(BATCH_SIZES.values()) % size == 0 for size in sizes)


def part(
    target: Path,
    rows: Sequence[Row],
    *,
    age: int = 0,
    format: str = "csv",
    top_k: int = 1,
    made: Provenance = MADE,
    manifest: bool = True,
) -> Path:
    """A file that a killed run has left, so many seconds ago."""
    path = part_of(target)
    writer = WRITERS[format].writer(str(path), schema=Schema(top_k=top_k))
    writer.write(rows)
    writer.close()
    os.utime(path, (1e9 - age, 1e9 - age))
    if manifest:
        made = replace(made, settings={**made.settings, "top_k": top_k})
        write_manifest(path, replace(MANIFEST, provenance=made, format=format))
    return path


def whole(target: Path, rows: Sequence[Row], *, age: int = 0, **options: Any) -> None:
    """An output with its manifest."""
    made = part(target, rows, age=age, **options)
    manifest = read_manifest(made)
    manifest_path(made).unlink()
    made.rename(target)
    write_manifest(target, replace(manifest, sha256=sha256_of(target)))


def find(target: Path, *, format: str = "csv") -> Earlier | None:
    return find_earlier(str(target), format=format, top_k=1)


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


def test_the_longer_is_not_taken_where_it_was_made_another_way(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    newest, other = part(target, ROWS[:3]), part(target, ROWS[:5], age=3, made=changed(score="cosine"))
    found = find(target)
    assert found is not None
    assert (found.path, found.parts) == (newest, (newest,))
    assert other.exists()


def test_the_newest_is_taken_where_they_differ(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    part(target, OTHERS, age=3)
    whole(target, OTHERS, age=2)
    newest = part(target, ROWS[:2], age=1)
    found = find(target)
    assert found is not None
    assert (found.path, found.parts) == (newest, (newest,))


def test_the_output_itself_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    whole(target, ROWS)
    part(target, ROWS[:2], age=-1)
    found = find(target)
    assert found is not None
    assert (found.path, found.is_output) == (target, True)


def test_a_part_with_other_columns_counts_only_where_there_is_no_other(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    odd = part(target, ROWS, top_k=2)
    found = find(target)
    assert found is not None
    assert found.path == odd
    good = part(target, ROWS, age=5)
    found = find(target)
    assert found is not None
    assert (found.path, found.parts) == (good, (good, odd) if good < odd else (odd, good))


def test_a_part_of_another_format_counts_only_where_there_is_no_other(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    part(target, ROWS, format="jsonl")
    with pytest.raises(UsageError, match="was begun with --format jsonl; give that"):
        find(target)
    good = part(target, ROWS, age=5)
    found = find(target)
    assert found is not None
    assert found.path == good


def test_rows_without_a_manifest_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    lost = part(target, ROWS, manifest=False)
    with pytest.raises(UsageError, match=r"\.part has no manifest \(\.out\.csv\..*\.part\.json\), so nothing says"):
        find(target)
    lost.rename(target)
    with pytest.raises(
        UsageError, match=r"has no manifest \(out\.csv\.json\), so nothing says how its rows were made; start"
    ):
        find(target)
    good = part(target, ROWS[:2], age=-1)
    found = find(target)
    assert found is not None
    assert found.path == good, "the newer one has a manifest"


def test_a_part_without_a_manifest_does_not_stand_in_the_way(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    good, lost, other = (
        part(target, ROWS, age=5),
        part(target, ROWS, manifest=False),
        part(target, OTHERS, manifest=False),
    )
    found = find(target)
    assert found is not None
    assert (found.path, set(found.parts)) == (good, {good, lost})
    assert other.exists()


def test_an_output_that_was_changed_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    whole(target, ROWS)
    target.write_bytes(target.read_bytes().replace(b"cat", b"dog"))
    with pytest.raises(
        UsageError, match=r"is not the file that its manifest \(out\.csv\.json\) tells of, or was changed"
    ):
        find(target)


def test_a_run_that_was_killed_between_its_manifest_and_its_output_is_gone_on_with(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    whole(target, ROWS[:3], age=9)
    killed = part(target, ROWS)
    write_manifest(target, replace(MANIFEST, sha256=sha256_of(killed)))
    found = find(target)
    assert found is not None
    assert (found.path, list(found.read())) == (killed, ROWS)


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    whole(target, ROWS)
    path = manifest_path(target)
    path.write_text(path.read_text().replace('"clipcli_manifest": 1', '"clipcli_manifest": 2'))
    with pytest.raises(BadFile, match="another version"):
        find(target)


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
        list((WRITERS["jsonl"].read_rows(str(tmp_path / "out.jsonl"), cut=True) or ((), ()))[1])


def test_the_rows_of_a_run_that_is_alive_are_not_left_over(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with Output(str(target), format="csv", schema=Schema(), manifest=MANIFEST) as output:
        output.write(ROWS)
        assert left_over(str(target)) == []
    [killed] = [part(target, ROWS)]
    assert not is_locked(killed)
    assert left_over(str(target)) == [killed]


@pytest.mark.parametrize("format", WRITERS)
def test_with_fewer_rows_than_before_everything_stays(tmp_path: Path, format: str) -> None:
    target = tmp_path / "out"
    old = part(target, ROWS, format=format)
    before = sorted(tmp_path.iterdir())
    for count in (3, 9):
        opened = {"format": format, "schema": Schema(), "manifest": replace(MANIFEST, format=format)}
        with Output(str(target), **opened, at_least=5, superseded=[old]) as output:
            output.write(ROWS[:count])
        assert sorted(tmp_path.iterdir()) == (before if count == 3 else [target, manifest_path(target)])
    found = read_begun(target)
    assert found is not None
    assert list(found[1]) == ROWS


def test_parts_of_other_outputs_and_of_runs_that_are_alive_are_never_removed(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    (tmp_path / ".out.csv.precious.part").touch()
    (tmp_path / ".out.csv.precious.part.json").touch()
    other = part(tmp_path / "out.csv.csv", ROWS)
    with Output(str(target), format="csv", schema=Schema(), manifest=MANIFEST) as alive:
        parts = parts_of(target)
        opened = {"format": "csv", "schema": Schema(), "manifest": MANIFEST}
        with Output(str(target), **opened, overwrite=True, superseded=parts) as output:
            output.write(ROWS)
        assert parts_of(target) == parts
        assert all(manifest_path(part).exists() for part in parts)
        alive._overwrite = True
    assert other.exists()
    assert manifest_path(other).exists()
    assert (tmp_path / ".out.csv.precious.part").exists()
    assert (tmp_path / ".out.csv.precious.part.json").exists()


def test_a_long_stream_becomes_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcli.outputs.parquet._GROUP_BYTES", 2000)
    writer = ParquetWriter(str(tmp_path / "stream"), schema=Schema())
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
    assert WRITERS["parquet"].read_rows(str(path), cut=True) is None
    with pytest.raises(BadFile):
        WRITERS["parquet"].read_rows(str(path), cut=False)


def test_a_switch_that_an_earlier_version_did_not_have_was_off() -> None:
    off, on = (replace(MADE, settings=SETTINGS | {"refine": value}) for value in (False, True))
    assert differences(MADE, off) == []
    assert differences(MADE, on) == ["--refine was not given and is True"]
    assert differences(on, off) == ["--refine was True and is False"]


def test_how_a_thing_is_done_does_not_count_where_it_is_not_done() -> None:
    def made(**settings: Any) -> Provenance:
        return replace(MADE, settings=SETTINGS | settings)

    new = {"unknown": False, "unknown_label": "unknown", "unknown_at": None, "multi_label": False, "wide": False}
    assert differences(MADE, made(**new)) == []
    with_unknown = made(**{**new, "unknown": True})
    assert differences(with_unknown, made(**{**new, "unknown": True, "unknown_label": "none"})) == [
        "--unknown-label was unknown and is none"
    ]
