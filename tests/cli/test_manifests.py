"""What `clipcli classify` leaves beside its output, and the columns that it keeps of its inputs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clipcli.cli.classify import Output
from clipcli.commands.classify import run as classify
from clipcli.files.manifest import read_manifest, sha256_of
from clipcli.records import ImageItem

from .conftest import Run


def test_a_manifest_says_how_the_rows_were_made(run: Run, photos: Path, labels: Path, model: str) -> None:
    (photos / "x.jpg").write_text("not an image")
    given = (
        "classify",
        "photos",
        "--labels",
        labels.name,
        "--model",
        model,
        "--prompts",
        "plain",
        "--precision",
        "fp32",
    )
    done = run(*given, "--top-k", "2", "-o", "out.jsonl")
    assert done.code == 3
    told = read_manifest(Path("out.jsonl"))
    assert told is not None
    assert (told.state, told.rows, told.skipped, told.format) == ("complete", 7, 1, "jsonl")
    assert told.sha256 == sha256_of(Path("out.jsonl"))
    assert told.model is not None
    assert (told.model.name, told.model.precision, told.model.device) == (model, "fp32", "cpu")
    assert len(told.model.fingerprint) == 64
    made = told.provenance
    assert [one["label"] for one in made.classes] == ["cat", "dog", "beach", "mountain"]
    assert (made.prompts, made.templates, made.classifier) == ("plain", ("a photo of a {}.",), None)
    assert (made.inputs, made.images, made.kept, made.command) == (("photos",), 7, (), "classify")
    assert made.settings["top_k"] == 2
    assert made.settings["labels"] == "labels.txt"
    content = json.loads(Path("out.jsonl.json").read_text())
    assert content["begun"] <= content["finished"]
    again = run(*given, "--top-k", "2", "-o", "again.jsonl")
    assert "from the cache" in again.err
    same = read_manifest(Path("again.jsonl"))
    assert same is not None
    assert same.model is not None
    assert (same.provenance, same.sha256) == (made, told.sha256)
    assert (same.model.fingerprint, same.model.device) == (told.model.fingerprint, None)


def test_a_manifest_of_a_classifier_has_its_digest(run: Run, photos: Path, labels: Path, model: str) -> None:
    run("build-classifier", "--labels", labels, "--model", model)
    run("classify", photos, "--classifier", "classes.safetensors")
    told = read_manifest(Path("labels.csv"))
    assert told is not None
    assert told.provenance.templates is None
    assert len(told.provenance.classifier or "") == 64
    assert [one["label"] for one in told.provenance.classes] == ["cat", "dog", "beach", "mountain"]


def test_no_manifest_leaves_none(run: Run, photos: Path, labels: Path, model: str) -> None:
    given = ("classify", photos, "--labels", labels, "--model", model)
    run(*given)
    assert Path("labels.csv.json").exists()
    run(*given, "--overwrite", "--no-manifest")
    assert sorted(path.name for path in Path().iterdir()) == ["labels.csv", "labels.txt", "photos"]


def test_a_file_of_the_manifests_name_is_kept(run: Run, photos: Path, labels: Path, model: str) -> None:
    Path("labels.csv.json").write_text("precious")
    given = ("classify", photos, "--labels", labels, "--model", model)
    done = run(*given, "--overwrite")
    assert done.code == 2
    assert "labels.csv.json is where the manifest goes, and is none; move it" in done.err
    assert not Path("labels.csv").exists()
    assert run(*given, "--no-manifest").code == 0
    assert Path("labels.csv.json").read_text() == "precious"


def test_the_manifest_of_a_run_is_there_before_its_first_row(
    run: Run, photos: Path, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    write = Output.write

    def look(self: Output, rows: Sequence[Any]) -> None:
        found.append(read_manifest(Path(self._part)))
        write(self, rows)

    monkeypatch.setattr(Output, "write", look)
    run("classify", photos, "--labels", labels, "--model", model, "--no-manifest")
    [told] = found
    assert (told.state, told.rows, told.model.device) == ("running", None, "cpu")


@pytest.fixture
def table(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images as a table lists them, with their other cells."""
    (photos / "bad.jpg").write_text("not an image")
    cells: list[dict[str, str]] = [{"who": "Ann", "label": "1"}, {"who": "Bob", "where": "Rome"}, {"where": "Oslo"}]
    items = [
        ImageItem(str(path), path.read_bytes, str(path), one)
        for path, one in zip((photos / "a.jpg", photos / "bad.jpg", photos / "d.jpg"), cells, strict=True)
    ]
    monkeypatch.setattr(classify, "list_images", lambda *_, **__: items)


@pytest.mark.usefixtures("table")
def test_columns_are_kept(run: Run, photos: Path, labels: Path, model: str) -> None:
    given = ("classify", photos, "--labels", labels, "--model", model)
    assert run(*given, "--keep-columns", "where, label").code == 3
    rows = list(csv.reader(Path("labels.csv").read_text().splitlines()))
    assert rows[0] == ["path", "label", "score", "error", "where", "input_label"]
    assert [row[4:] for row in rows[1:]] == [["", "1"], ["Rome", ""], ["Oslo", ""]]
    assert [bool(row[3]) for row in rows[1:]] == [False, True, False]
    told = read_manifest(Path("labels.csv"))
    assert told is not None
    assert told.provenance.kept == ("where", "label")
    # The second run takes its rows from the cache.
    assert run(*given, "--keep-columns", "all", "-o", "all.parquet").code == 3
    all_ = pq.read_table("all.parquet")
    assert all_.column_names == ["path", "label", "score", "error", "who", "input_label", "where"]
    assert all_["who"].to_pylist() == ["Ann", "Bob", None]
    run(*given, "-o", "none.csv")
    assert [row[:4] for row in rows] == list(csv.reader(Path("none.csv").read_text().splitlines()))


@pytest.mark.usefixtures("table")
def test_a_column_that_no_table_has_is_named(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, "--keep-columns", "whom")
    assert done.code == 2
    assert "unknown column 'whom'; choose one of: who, " in done.err


@pytest.mark.usefixtures("table")
def test_kept_columns_are_gone_on_with(run: Run, photos: Path, labels: Path, model: str) -> None:
    given = ("classify", photos, "--labels", labels, "--model", model, "--batch-size", "1", "--keep-columns")
    run(*given, "all")
    whole = Path("labels.csv").read_bytes()
    assert "complete" in run(*given, "all", "--resume").err
    done = run(*given, "who", "--resume")
    assert done.code == 2
    assert "--keep-columns was who, label, where and is who; give that again" in done.err
    assert Path("labels.csv").read_bytes() == whole


def test_all_columns_of_what_is_no_table_are_none(run: Run, photos: Path, labels: Path, model: str) -> None:
    given = ("classify", photos, "--labels", labels, "--model", model)
    assert run(*given, "--keep-columns", "all").code == 0
    assert Path("labels.csv").read_text().startswith("path,label,score,error\n")
    done = run(*given, "--keep-columns", "who", "--overwrite")
    assert (done.code, done.err) == (
        2,
        "clipcli: --keep-columns is for inputs that are tables with other columns; leave it out\n",
    )
