"""What `clipcli classify` leaves beside its output, and the columns that it keeps of its inputs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clipcli.files.manifest import read_manifest, sha256_of
from clipcli.outputs.open import Output

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
    told = read_manifest(Path("predictions.csv"))
    assert told is not None
    assert told.provenance.templates is None
    assert len(told.provenance.classifier or "") == 64
    assert [one["label"] for one in told.provenance.classes] == ["cat", "dog", "beach", "mountain"]


def test_no_manifest_leaves_none(run: Run, photos: Path, labels: Path, model: str) -> None:
    given = ("classify", photos, "--labels", labels, "--model", model)
    run(*given)
    assert Path("predictions.csv.json").exists()
    run(*given, "--overwrite", "--no-manifest")
    assert sorted(path.name for path in Path().iterdir()) == ["labels.txt", "photos", "predictions.csv"]


def test_a_file_of_the_manifests_name_is_kept(run: Run, photos: Path, labels: Path, model: str) -> None:
    Path("predictions.csv.json").write_text("precious")
    given = ("classify", photos, "--labels", labels, "--model", model)
    done = run(*given, "--overwrite")
    assert done.code == 2
    assert "predictions.csv.json is where the manifest goes, and is none; move it" in done.err
    assert not Path("predictions.csv").exists()
    assert run(*given, "--no-manifest").code == 0
    assert Path("predictions.csv.json").read_text() == "precious"


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
def table(photos: Path) -> Path:
    """A table of images with other cells, one of its images bad."""
    (photos / "bad.jpg").write_text("not an image")
    rows = [
        {"path": "a.jpg", "who": "Ann", "label": 1},
        {"path": "bad.jpg", "who": "Bob", "where": "Rome"},
        {"path": "d.jpg", "where": "Oslo"},
    ]
    path = photos / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_columns_are_kept(run: Run, table: Path, labels: Path, model: str) -> None:
    given = ("classify", table, "--labels", labels, "--model", model)
    assert run(*given, "--keep-columns", "where, label").code == 3
    rows = list(csv.reader(Path("predictions.csv").read_text().splitlines()))
    assert rows[0] == ["path", "label", "score", "error", "where", "input_label"]
    assert [row[4:] for row in rows[1:]] == [["", "1"], ["Rome", ""], ["Oslo", ""]]
    assert [bool(row[3]) for row in rows[1:]] == [False, True, False]
    told = read_manifest(Path("predictions.csv"))
    assert told is not None
    assert told.provenance.kept == ("where", "label")
    # The second run takes its rows from the cache.
    assert run(*given, "--keep-columns", "all", "-o", "all.parquet").code == 3
    all_ = pq.read_table("all.parquet")
    assert all_.column_names == ["path", "label", "score", "error", "who", "input_label", "where"]
    assert all_["who"].to_pylist() == ["Ann", "Bob", None]
    run(*given, "-o", "none.csv")
    assert [row[:4] for row in rows] == list(csv.reader(Path("none.csv").read_text().splitlines()))


def test_a_column_that_no_table_has_is_named(run: Run, table: Path, labels: Path, model: str) -> None:
    done = run("classify", table, "--labels", labels, "--model", model, "--keep-columns", "whom")
    assert done.code == 2
    assert "no table has a column 'whom'; its columns are 'path', 'who', 'label', 'where'" in done.err


def test_kept_columns_are_gone_on_with(run: Run, table: Path, labels: Path, model: str) -> None:
    given = ("classify", table, "--labels", labels, "--model", model, "--batch-size", "1", "--keep-columns")
    run(*given, "all")
    whole = Path("predictions.csv").read_bytes()
    assert "complete" in run(*given, "all", "--resume").err
    done = run(*given, "who", "--resume")
    assert done.code == 2
    assert "--keep-columns was who, label, where and is who; give that again" in done.err
    assert Path("predictions.csv").read_bytes() == whole


def test_without_a_table_there_is_no_column_to_keep(run: Run, photos: Path, labels: Path, model: str) -> None:
    for asked in ("all", "who"):
        done = run("classify", photos, "--labels", labels, "--model", model, "--keep-columns", asked)
        assert done.code == 2
        assert done.err == f"clipcli: no table has a column '{asked}'; there is no table among the inputs\n"
