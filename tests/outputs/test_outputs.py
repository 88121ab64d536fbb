"""Outputs: what stands in them, which format is chosen, that they are always whole, and their manifests."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipcli.errors import BadFile, ClipcliError, MissingExtra, OutputExists, OutputFailed, UnknownName, UsageError
from clipcli.files.atomic import part_of, parts_of, put_in_place
from clipcli.files.manifest import Manifest, manifest_path, read_manifest, sha256_of, write_manifest
from clipcli.outputs import WRITERS
from clipcli.outputs.check import check_output, choose_format
from clipcli.outputs.csv import CsvWriter
from clipcli.outputs.open import Output
from clipcli.outputs.read import read_rows
from clipcli.records import ModelRecord, Provenance, Row
from clipcli.scoring.schema import Schema

GOOD = Row("a.jpg", ("cat", "dog"), (0.75, 0.25))
BAD = Row("x.jpg", (), (), "truncated")
TWO = Schema(top_k=2)
ODD_NAMES = ["a,b.jpg", 'a"b".jpg', "a\nb.jpg", "a\r\nb.jpg", "a\rb.jpg", " a .jpg", "=1+1", "猫🐈.jpg", "'", ""]


def _write(path: Path | str, format: str, *batches: Sequence[Row], top_k: int = 2) -> None:
    with Output(str(path), format=format, schema=Schema(top_k=top_k), overwrite=True) as output:
        for rows in batches:
            output.write(rows)


def _csv_rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))


def test_csv_is_this_text(tmp_path: Path) -> None:
    _write(tmp_path / "out.csv", "csv", [GOOD], [BAD])
    assert (tmp_path / "out.csv").read_bytes() == (
        b"path,label,score,label_2,score_2,error\na.jpg,cat,0.75,dog,0.25,\nx.jpg,,,,,truncated\n"
    )


def test_jsonl_is_this_text(tmp_path: Path) -> None:
    _write(tmp_path / "out.jsonl", "jsonl", [GOOD], [BAD])
    first, second = (tmp_path / "out.jsonl").read_bytes().decode().splitlines()
    assert first == '{"path": "a.jpg", "label": "cat", "score": 0.75, "label_2": "dog", "score_2": 0.25, "error": null}'
    assert set(json.loads(second).items()) >= {("path", "x.jpg"), ("label", None), ("error", "truncated")}


def test_parquet_is_this_table(tmp_path: Path) -> None:
    _write(tmp_path / "out.parquet", "parquet", [GOOD], [BAD])
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {
        "path": ["a.jpg", "x.jpg"],
        "label": ["cat", None],
        "score": [0.75, None],
        "label_2": ["dog", None],
        "score_2": [0.25, None],
        "error": [None, "truncated"],
    }
    assert table.schema.types == [pa.string(), pa.string(), pa.float64(), pa.string(), pa.float64(), pa.string()]


def test_parquet_types_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    _write(tmp_path / "bad.parquet", "parquet", [BAD], top_k=1)
    _write(tmp_path / "none.parquet", "parquet", top_k=1)
    for name in ("bad.parquet", "none.parquet"):
        assert pq.read_schema(tmp_path / name).types == [pa.string(), pa.string(), pa.float64(), pa.string()]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_come_back_from_every_format(tmp_path: Path, name: str) -> None:
    row = Row(name, (name,), (1.0,), None)
    for format in WRITERS:
        _write(tmp_path / format, format, [row, row], top_k=1)
    assert _csv_rows((tmp_path / "csv").read_bytes())[1:] == [[name, name, "1.0", ""]] * 2
    lines = (tmp_path / "jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert [json.loads(line)["path"] for line in lines] == [name, name]
    assert pq.read_table(tmp_path / "parquet")["path"].to_pylist() == [name, name]


def test_names_that_are_not_utf8_come_through(tmp_path: Path) -> None:
    name = b"caf\xe9 \xff\xc3\xa9.jpg"
    row = Row(os.fsdecode(name), ("cat",), (1.0,))
    for format in WRITERS:
        _write(tmp_path / format, format, [row], top_k=1)
    assert (tmp_path / "csv").read_bytes().splitlines()[1] == name + b",cat,1.0,"
    assert os.fsencode(json.loads((tmp_path / "jsonl").read_text(encoding="utf-8"))["path"]) == name
    assert pq.read_table(tmp_path / "parquet")["path"].to_pylist() == [r"caf\udce9 \udcffé.jpg"]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_are_out_of_our_hands_after_each_write(tmp_path: Path, format: str) -> None:
    path = tmp_path / "out"
    with Output(str(path), format=format, schema=TWO) as output:
        output.write([GOOD])
        [part] = tmp_path.glob(".out.*.part")
        assert b"a.jpg" in part.read_bytes()
        assert not path.exists()


@pytest.mark.parametrize(("format", "error"), [(f, e) for f in WRITERS for e in (ValueError, KeyboardInterrupt)])
def test_after_an_interruption_the_output_holds_the_rows_so_far(
    tmp_path: Path, format: str, error: type[BaseException]
) -> None:
    path = tmp_path / "out"

    def interrupted() -> None:
        with Output(str(path), format=format, schema=TWO) as output:
            output.write([GOOD])
            raise error

    with pytest.raises(error):
        interrupted()
    _write(tmp_path / "whole", format, [GOOD])
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


def test_an_output_that_is_replaced_is_whole_until_then(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with Output(str(path), format="csv", schema=TWO, overwrite=True) as output:
        output.write([GOOD])
        assert path.read_text() == "old"
    assert "a.jpg" in path.read_text()


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_standard_output_gets_the_same_bytes_and_stays_open(
    tmp_path: Path, format: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    rows = [GOOD, BAD, Row(os.fsdecode(b"\xff.jpg"), ("猫", "dog"), (0.75, 0.25))]
    _write("-", format, rows)
    assert not sys.stdout.closed
    _write(tmp_path / "file", format, rows)
    assert capfdbinary.readouterr().out == (tmp_path / "file").read_bytes()


def test_standard_output_may_be_any_stream(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _write("-", "csv", [BAD], top_k=1)
    assert capsys.readouterr().out == "path,label,score,error\nx.jpg,,,truncated\n"
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    _write("-", "csv", [BAD], top_k=1)
    assert stream.getvalue() == "path,label,score,error\nx.jpg,,,truncated\n"


@pytest.mark.parametrize(
    ("output", "requested", "format"),
    [
        ("out.csv", None, "csv"),
        ("out.CSV", None, "csv"),
        ("out.jsonl", None, "jsonl"),
        ("out.ndjson", None, "jsonl"),
        ("out.parquet", None, "parquet"),
        ("out.csv", "jsonl", "jsonl"),
        ("out", "parquet", "parquet"),
        ("-", None, "csv"),
        ("-", "jsonl", "jsonl"),
    ],
)
def test_the_format_is_the_one_asked_for_or_that_of_the_suffix(output: str, requested: str, format: str) -> None:
    assert choose_format(output, requested) == format


@pytest.mark.parametrize(
    ("output", "requested", "error", "names"),
    [
        ("out.txt", None, UsageError, "--format csv or jsonl or parquet"),
        ("out", None, UsageError, "--format"),
        ("out.csv", "jsnl", UnknownName, "choose one of: jsonl"),
        ("-", "parquet", UsageError, "--output FILE"),
    ],
)
def test_a_format_that_cannot_be_is_a_usage_error(
    output: str, requested: str | None, error: type[ClipcliError], names: str
) -> None:
    with pytest.raises(error, match=names):
        choose_format(output, requested)


def test_an_output_that_can_be_written_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    check_output(str(tmp_path / "out.csv"), overwrite=False)
    check_output("-", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_needs_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(OutputExists, match="--overwrite"):
        check_output(str(path), overwrite=False)
    check_output(str(path), overwrite=True)
    assert path.read_text() == "old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_no_output(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(UsageError, match="folder"):
        check_output(str(tmp_path), overwrite=overwrite)


def test_an_output_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        check_output(str(tmp_path / "missing" / "out.csv"), overwrite=False)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second batch of rows does not fit on the disk."""
    written: list[int] = []
    write = WRITERS["csv"].writer.write

    def full(self: CsvWriter, rows: Sequence[Row]) -> None:
        written.append(len(rows))
        if len(written) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, rows)

    monkeypatch.setattr(CsvWriter, "write", full)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_keeps_the_old_output_and_says_where_the_rows_are(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def two_batches() -> None:
        with Output(str(path), format="csv", schema=TWO, overwrite=True) as output:
            output.write([GOOD])
            output.write([GOOD])

    with pytest.raises(OutputFailed, match=r"No space left on device \(the rows so far are in .*\.part\)"):
        two_batches()
    [part] = tmp_path.glob(".out.csv.*.part")
    assert path.read_text() == "old"
    assert "a.jpg" in part.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to stand for a full disk")
@pytest.mark.parametrize("when", ["opened", "written"])
def test_a_reader_of_a_pipe_that_is_gone_is_no_failure_of_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(CsvWriter, "__init__" if when == "opened" else "write", fail)
    with pytest.raises(BrokenPipeError), Output(str(tmp_path / "out.csv"), format="csv", schema=TWO) as output:
        output.write([GOOD])


def test_a_device_is_written_to_and_stays_a_device() -> None:
    check_output("/dev/full", overwrite=False)
    with pytest.raises(OutputFailed, match="No space left"):
        _write(Path("/dev/full"), "csv", [GOOD])
    assert Path("/dev/full").is_char_device()
    _write(Path("/dev/null"), "csv", [GOOD])
    assert Path("/dev/null").is_char_device()


def test_an_output_that_cannot_be_opened_is_an_output_that_failed(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match=r"^cannot write .*No such file or directory; choose another --output$"):
        Output(str(tmp_path / "gone" / "x.csv"), format="csv", schema=TWO)


def test_an_output_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def too_late() -> None:
        with Output(str(path), format="csv", schema=TWO) as output:
            output.write([GOOD])
            path.write_text("another run's")

    with pytest.raises(OutputExists, match="made by someone else meanwhile; the rows are in"):
        too_late()
    [part] = tmp_path.glob(".out.csv.*.part")
    assert path.read_text() == "another run's"
    assert "a.jpg" in part.read_text()


def test_two_runs_to_one_output_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with (
        Output(str(path), format="csv", schema=TWO, overwrite=True) as first,
        Output(str(path), format="csv", schema=TWO, overwrite=True) as second,
    ):
        first.write([GOOD])
        second.write([BAD])
    assert path.read_text().count("a.jpg") == 1
    assert "x.jpg" not in path.read_text()


def test_a_link_keeps_pointing_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "real.csv").chmod(0o640)
    (tmp_path / "link.csv").symlink_to("real.csv")
    _write(tmp_path / "link.csv", "csv", [GOOD])
    assert (tmp_path / "link.csv").is_symlink()
    assert "a.jpg" in (tmp_path / "real.csv").read_text()
    assert (tmp_path / "real.csv").stat().st_mode & 0o777 == 0o640


def test_a_users_own_part_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.csv.part").write_text("precious")
    check_output(str(tmp_path / "out.csv"), overwrite=False)
    _write(tmp_path / "out.csv", "csv", [GOOD])
    assert (tmp_path / "out.csv.part").read_text() == "precious"


def _kept(path: Path, format: str) -> None:
    rows = [Row("a.jpg", ("cat",), (0.75,), None, ("Ann", None)), Row("x.jpg", (), (), "truncated", ("", "7"))]
    with Output(str(path), format=format, schema=Schema(kept=("who", "score"))) as output:
        output.write(rows)


def test_kept_columns_come_last(tmp_path: Path) -> None:
    for format in WRITERS:
        _kept(tmp_path / format, format)
    assert (tmp_path / "csv").read_bytes() == (
        b"path,label,score,error,who,input_score\na.jpg,cat,0.75,,Ann,\nx.jpg,,,truncated,,7\n"
    )
    first, second = map(json.loads, (tmp_path / "jsonl").read_text().splitlines())
    assert list(first.items())[4:] == [("who", "Ann"), ("input_score", None)]
    assert list(second.items())[4:] == [("who", ""), ("input_score", "7")]
    table = pq.read_table(tmp_path / "parquet")
    assert table.schema.types[4:] == [pa.string(), pa.string()]
    assert table.select(["who", "input_score"]).to_pydict() == {"who": ["Ann", ""], "input_score": [None, "7"]}


def _open(path: Path, *, images: int = 2, **options: Any) -> Output:
    manifest = Manifest(provenance=_provenance(images), model=FACTS, format="csv", begun="2026-01-02T03:04:05+00:00")
    return Output(str(path), **{"format": "csv", "schema": TWO, "manifest": manifest, **options})


def _provenance(images: int) -> Provenance:
    facts = {"prompts": "plain", "templates": None, "classifier": "d", "inputs": (), "images_digest": "d", "kept": ()}
    return Provenance(command="classify", settings={}, model="tiny", classes=(), images=images, **facts)


FACTS = ModelRecord("tiny", "abcd", "64 pixels", "fp32", None)


def test_a_manifest_is_beside_the_rows_from_the_first_on_and_then_beside_the_output(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with _open(path) as output:
        [part] = parts_of(path)
        assert read_manifest(part) == output._manifest
        output.write([GOOD])
        output.set_model(replace(FACTS, device="cpu"))
        told = read_manifest(part)
        assert told is not None
        assert (told.state, told.model, told.rows) == ("running", replace(FACTS, device="cpu"), None)
        assert not manifest_path(path).exists()
        output.write([BAD])
    finished = read_manifest(path)
    assert finished is not None
    assert finished.sha256 == sha256_of(path)
    assert (finished.state, finished.rows, finished.skipped, finished.model) == ("complete", 2, 1, told.model)
    assert finished.begun < (finished.finished or "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.csv.json"]


@pytest.mark.parametrize("format", WRITERS)
def test_after_an_interruption_the_manifest_says_so(tmp_path: Path, format: str) -> None:
    path = tmp_path / "out"

    def interrupted() -> None:
        with _open(path, format=format) as output:
            output.write([GOOD])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    told = read_manifest(path)
    assert told is not None
    assert (told.state, told.rows, told.sha256) == ("interrupted", 1, sha256_of(path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.json"]


def test_an_output_that_is_replaced_is_replaced_with_its_manifest(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    for rows in ([GOOD, BAD], [GOOD, GOOD]):
        with _open(path, overwrite=True) as output:
            output.write(rows)
    told = read_manifest(path)
    assert told is not None
    assert (told.skipped, told.sha256) == (0, sha256_of(path))
    with _open(path, overwrite=True, keep_manifest=False) as output:
        assert parts_of(path)
        assert read_manifest(parts_of(path)[0]) is not None
        output.write([GOOD])
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_the_manifest_has_its_name_before_the_output_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"

    def look(part: Path, target: Path) -> None:
        told = read_manifest(path)
        assert told is not None
        assert told.sha256 == sha256_of(part)
        assert read_manifest(parts_of(path)[0]) is not None
        assert not path.exists()
        put_in_place(part, target)

    monkeypatch.setattr("clipcli.outputs.open.put_in_place", look)
    with _open(path) as output:
        output.write([GOOD])
    assert path.exists()


def test_a_file_of_the_manifests_name_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    (tmp_path / "out.csv.json").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(
            OutputExists, match=r"out\.csv\.json is where the manifest goes, and is none; .*--no-manifest"
        ):
            check_output(str(path), overwrite=overwrite, manifest=True)
    check_output(str(path), overwrite=False)
    with _open(path, keep_manifest=False) as output:
        output.write([GOOD])
    assert (tmp_path / "out.csv.json").read_text() == "precious"


def test_a_file_of_the_manifests_name_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def too_late() -> None:
        with _open(path) as output:
            output.write([GOOD])
            (tmp_path / "out.csv.json").write_text("precious")

    with pytest.raises(OutputExists, match=r"is none; .*; the rows are in"):
        too_late()
    [part] = parts_of(path)
    assert "a.jpg" in part.read_text()
    assert read_manifest(part) is not None
    assert (tmp_path / "out.csv.json").read_text() == "precious"
    assert not path.exists()


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_rows_with_their_manifest(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def two_batches() -> None:
        with _open(path) as output:
            output.write([GOOD])
            output.write([GOOD])

    with pytest.raises(OutputFailed, match="the rows so far are in"):
        two_batches()
    [part] = parts_of(path)
    assert read_manifest(part) is not None
    assert not path.exists()
    assert not manifest_path(path).exists()


def test_where_no_manifest_can_be_written_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("clipcli.outputs.open.write_manifest", full)
    with pytest.raises(
        OutputFailed, match=r"cannot write .*out\.csv: No space left on device; choose another --output"
    ):
        _open(tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_strays_and_what_is_superseded_go_with_their_manifests(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    stray, old = part_of(path), part_of(path)
    old.touch()
    for part in (stray, old):
        write_manifest(part, Manifest(provenance=_provenance(1), model=None, format="csv", begun=""))
    with _open(path, superseded=[old]) as output:
        output.write([GOOD])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.csv.json"]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no /dev/null")
def test_streams_have_no_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    for output in ("-", "/dev/null"):
        with _open(Path(output)) as stream:
            stream.set_model(replace(FACTS, device="cpu"))
            stream.write([GOOD])
    assert "a.jpg" in capsys.readouterr().out
    assert not Path("/dev/null.json").exists()
    assert not Path("-.json").exists()


def test_a_missing_pyarrow_is_told_before_the_work_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install pyarrow"):
        choose_format("out.parquet", None)


SEVERAL = Schema(several=True)
WIDE = Schema(several=True, wide=("cat", 'a "b"; c', "dog"))
OF_SEVERAL = [
    Row("a.jpg", ('a "b"; c', "cat"), (0.75, 0.5), None, (), (0.5, 0.75, 0.25)),
    Row("b.jpg", (), (), None, (), (0.25, 0.125, 0.25)),
    Row("x.jpg", (), (), "truncated"),
]


def _write_several(path: Path, format: str, schema: Schema) -> None:
    with Output(str(path), format=format, schema=schema) as output:
        output.write(OF_SEVERAL)


def test_several_labels_in_csv_are_one_field(tmp_path: Path) -> None:
    _write_several(tmp_path / "out.csv", "csv", SEVERAL)
    # The field is CSV of its own, split by ;, so that a label with a ; has quotes, which the table doubles.
    assert (tmp_path / "out.csv").read_text() == (
        'path,labels,scores,error\na.jpg,"""a """"b""""; c"";cat",0.75;0.5,\nb.jpg,,,\nx.jpg,,,truncated\n'
    )
    _write_several(tmp_path / "wide.csv", "csv", WIDE)
    assert (tmp_path / "wide.csv").read_text().splitlines() == [
        'path,labels,cat,"a ""b""; c",dog,error',
        'a.jpg,"""a """"b""""; c"";cat",0.5,0.75,0.25,',
        "b.jpg,,0.25,0.125,0.25,",
        "x.jpg,,,,,truncated",
    ]


def test_several_labels_in_jsonl_are_lists(tmp_path: Path) -> None:
    _write_several(tmp_path / "out.jsonl", "jsonl", SEVERAL)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        {"path": "a.jpg", "labels": ['a "b"; c', "cat"], "scores": [0.75, 0.5], "error": None},
        {"path": "b.jpg", "labels": [], "scores": [], "error": None},
        {"path": "x.jpg", "labels": None, "scores": None, "error": "truncated"},
    ]


def test_several_labels_in_parquet_are_lists(tmp_path: Path) -> None:
    _write_several(tmp_path / "out.parquet", "parquet", SEVERAL)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("labels").to_pylist() == [['a "b"; c', "cat"], [], None]
    assert table.column("scores").to_pylist() == [[0.75, 0.5], [], None]
    assert table.schema.types == [pa.string(), pa.list_(pa.string()), pa.list_(pa.float64()), pa.string()]


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("schema", [SEVERAL, WIDE])
def test_several_labels_are_read_back(tmp_path: Path, format: str, schema: Schema) -> None:
    path = tmp_path / f"out.{format}"
    _write_several(path, format, schema)
    found, rows = read_rows(path)
    expected = OF_SEVERAL if schema.wide else [replace(row, all_scores=()) for row in OF_SEVERAL]
    assert (found, list(rows)) == (schema, expected)


def test_a_quote_that_is_not_closed_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text('path,labels,scores,error\na.jpg,"""cat",0.5,\n')
    with pytest.raises(BadFile, match="holds something that is no row"):
        list(read_rows(path)[1])
