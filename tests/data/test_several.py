"""Reading images with several labels: from text, lists, and outputs of `classify --multi-label`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from clipcli.data.columns import Columns
from clipcli.data.several import SeveralData, WithLabels, read_several
from clipcli.data.tree import Data
from clipcli.errors import BadFile, InputNotFound
from clipcli.notices import Notices
from clipcli.outputs.open import Output
from clipcli.records import Row
from clipcli.scoring.schema import Schema


def _read(path: Path, label: str | None = None) -> SeveralData:
    return read_several(Data(str(path), Notices()), Columns(label=label))


def _names(read: SeveralData) -> list[object]:
    return [entry.names if isinstance(entry, WithLabels) else entry.reason for entry in read.entries]


def test_text_is_split_and_a_blank_cell_has_no_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('path,labels\na.jpg,"cat; dog;cat;"\nb.jpg,\nc.jpg,"""a;b"";7"\nd.jpg,"""cat"\n')
    read = _read(tmp_path / "t.csv")
    assert _names(read) == [
        ("cat", "dog"),
        (),
        ("a;b", "7"),
        "the labels are no text and no list, or a quote is missing",
    ]
    assert [(one.name, one.key) for one in read.each_label().entries if not hasattr(one, "reason")] == [
        ("cat", "a"),
        ("dog", "a"),
        ("a;b", "c"),
        ("7", "c"),
    ]
    assert read.each_label().names == ("7", "a;b", "cat", "dog")


def test_lists_in_json_lines_and_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["a.jpg", "b.jpg", "c.jpg"], "tags": [["cat", "red; car"], [], None]})
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.jsonl", "t.parquet"):
        assert _names(_read(tmp_path / name)) == [("cat", "red; car"), (), ()]


def test_what_is_no_label_is_skipped_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '{"path": "a.jpg", "labels": ["cat"]}\n{"path": "b.jpg", "labels": {"cat": 1}}\n'
        '{"path": "c.jpg", "labels": ["cat", null]}\n'
    )
    reason = "the labels are no text and no list, or a quote is missing"
    assert _names(_read(tmp_path / "t.jsonl")) == [("cat",), reason, reason]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("wide", [(), ("cat", "a;b")])
def test_outputs_are_read(tmp_path: Path, format: str, wide: tuple[str, ...]) -> None:
    path = tmp_path / f"out.{format}"
    rows = [
        Row("a.jpg", ("a;b", "cat"), (0.75, 0.5), None, (), (0.5, 0.75)),
        Row("b.jpg", (), (), None, (), (0.1, 0.2)),
    ]
    with Output(str(path), format=format, schema=Schema(several=True, wide=wide)) as output:
        output.write([*rows, Row("x.jpg", (), (), "truncated")])
    assert _names(_read(path)) == [("a;b", "cat"), (), ()]


def test_the_column_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,labels,things\na.jpg,cat,dog;cow\n")
    assert _names(_read(tmp_path / "t.csv", "things")) == [("dog", "cow")]


def test_without_a_table_or_a_label_it_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="expected a table for several labels an image"):
        _read(photos)
    with pytest.raises(InputNotFound, match="no such data"):
        _read(tmp_path / "nowhere.csv")
    (tmp_path / "t.csv").write_text("path,labels\na.jpg,\n")
    with pytest.raises(InputNotFound, match="no image has a label"):
        _read(tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text("path,things\na.jpg,cat\n")
    with pytest.raises(BadFile, match="no label column"):
        _read(tmp_path / "u.csv")
