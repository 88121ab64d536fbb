"""Whatever a file or a label is called, it comes back from the outputs and labels files as it went in."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.classes.label_files import read_label_file
from clipcli.outputs.open import Output
from clipcli.records import Row
from clipcli.scoring.schema import Schema

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(_CHARACTERS, max_size=12) | st.text(" ,;\"\r\n\t'#=é猫", max_size=6)
NAMES = TEXTS | st.binary(max_size=12).map(lambda name: os.fsdecode(name.replace(b"\0", b"")))
ROWS = st.lists(
    st.builds(lambda path, label, score: Row(path, (label,), (score,)), NAMES, TEXTS, st.floats(0, 1))
    | st.builds(lambda path, reason: Row(path, (), (), reason or "bad"), NAMES, TEXTS),
    max_size=6,
)
LABELS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff"), min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda label: label and not label.startswith("#")),
    # One line alone may hold several labels, which is asked about.
    min_size=2,
    max_size=6,
)
SETTINGS = settings(max_examples=50, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


def _written(rows: list[Row], path: Path, *, format: str) -> bytes:
    with Output(str(path), format=format, schema=Schema(), overwrite=True) as output:
        for row in rows:
            output.write([row])
    return path.read_bytes()


@SETTINGS
@given(rows=ROWS)
def test_csv_gives_back_every_name_and_label(folder: Path, rows: list[Row]) -> None:
    text = _written(rows, folder / "out", format="csv").decode("utf-8", "surrogateescape")
    _, *read = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert [(path, label, error) for path, label, _, error in read] == [
        (row.path, row.labels[0] if row.labels else "", row.error or "") for row in rows
    ]
    for row, (*_, score, _) in zip(rows, read, strict=True):
        assert score == "" if row.error else float(score) == pytest.approx(row.scores[0], rel=1e-5)


@SETTINGS
@given(rows=ROWS)
def test_jsonl_gives_back_every_name_and_label(folder: Path, rows: list[Row]) -> None:
    content = _written(rows, folder / "out", format="jsonl").decode("utf-8")
    read = [json.loads(line) for line in content.split("\n")[:-1]]
    assert [os.fsencode(row["path"]) for row in read] == [os.fsencode(row.path) for row in rows]
    assert [(row["label"], row["error"]) for row in read] == [
        (row.labels[0] if row.labels else None, row.error) for row in rows
    ]


@SETTINGS
@given(labels=LABELS, newline=st.sampled_from(["\n", "\r\n"]), encoding=st.sampled_from(["utf-8", "utf-8-sig"]))
def test_txt_gives_back_every_label(folder: Path, labels: list[str], newline: str, encoding: str) -> None:
    path = folder / "labels.txt"
    path.write_bytes(newline.join(labels).encode(encoding))
    assert [c.label for c in read_label_file(path)] == labels


@SETTINGS
@given(labels=st.lists(TEXTS.map(str.strip).filter(bool), min_size=1, max_size=6))
def test_csv_gives_back_every_label(folder: Path, labels: list[str]) -> None:
    path = folder / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["label"], *([label] for label in labels)])
    assert [c.label for c in read_label_file(path)] == labels
