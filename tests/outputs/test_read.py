"""The one reader of outputs: it knows the format and the columns by the file alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipcli.errors import BadFile, InputNotFound
from clipcli.outputs import WRITERS
from clipcli.outputs.open import Output
from clipcli.outputs.read import format_of, is_output, read_begun, read_rows
from clipcli.records import Row
from clipcli.scoring.schema import Schema

ROWS = [
    Row("a.jpg", ("cat", "dog"), (0.75, 0.25), None, ("Ann",)),
    Row("x.jpg", (), (), "truncated", ("Bob",)),
]
SCHEMA = Schema(top_k=2, kept=("who",))


def written(path: Path, format: str) -> Path:
    with Output(str(path), format=format, schema=SCHEMA) as output:
        output.write(ROWS)
    return path


@pytest.mark.parametrize("format", WRITERS)
def test_the_rows_come_back_whatever_the_file_is_called(tmp_path: Path, format: str) -> None:
    path = written(tmp_path / "anything", format)
    assert format_of(path) == format
    assert is_output(path)
    schema, rows = read_rows(path)
    assert (schema, list(rows)) == (SCHEMA, ROWS)


@pytest.mark.parametrize("format", WRITERS)
def test_label_paths_come_back(tmp_path: Path, format: str) -> None:
    schema = Schema(top_k=2, kept=("label_path",), has_paths=True)
    rows = [
        Row("a.jpg", ("dog", "beagle"), (0.75, 0.25), None, ("mine",), label_path=r"animal/dog \/ hound"),
        Row("x.jpg", (), (), "truncated", ("his",)),
    ]
    with Output(str(tmp_path / "out"), format=format, schema=schema) as output:
        output.write(rows)
    found, read = read_rows(tmp_path / "out")
    assert found.columns == schema.columns
    assert list(read) == rows


@pytest.mark.parametrize("format", WRITERS)
def test_a_hidden_file_that_is_being_written_is_read_as_far_as_it_goes(tmp_path: Path, format: str) -> None:
    path = tmp_path / "part"
    writer = WRITERS[format].writer(str(path), schema=SCHEMA)
    writer.write(ROWS)
    found = read_begun(path)
    assert found is not None
    assert (found[0], list(found[1])) == (SCHEMA, ROWS)
    assert format_of(path) == format
    writer.close()


@pytest.mark.parametrize(("format", "cut"), [("csv", 3), ("jsonl", 3), ("parquet", 3)])
def test_an_output_that_was_cut_is_refused_unless_it_may_be(tmp_path: Path, format: str, cut: int) -> None:
    path = written(tmp_path / "out", format)
    path.write_bytes(path.read_bytes()[:-cut])

    def read() -> list[Row]:
        return list(read_rows(path)[1])

    if format == "csv":
        # What is cut off the last cell leaves a row.
        assert [row.path for row in read()] == ["a.jpg", "x.jpg"]
        path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(BadFile, match="no row of clipcli classify"):
        read()
    found = read_begun(path)
    rows = [] if found is None else list(found[1])
    assert rows == ([] if format == "parquet" else ROWS[:1])


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    for format in ("csv", "jsonl"):
        path = written(tmp_path / format, format)
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
        assert list(read_rows(path)[1]) == ROWS


@pytest.mark.parametrize(
    "content",
    [b"", b"precious", b"path,label\na.jpg,cat\n", b"{}\n", b"[1]\n", b"PAR1", b"\xff\xff\xff\xff", b"\x89PNG\r\n\x1a"],
)
def test_something_else_is_no_output(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    assert not is_output(path)
    with pytest.raises(BadFile, match=str(path)):
        read_rows(path)


def test_a_header_whose_quote_is_not_closed_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('path,label,"score,error\na.jpg,cat,1,\n')
    with pytest.raises(BadFile):
        read_rows(tmp_path / "x.csv")


def test_a_table_of_parquet_that_is_no_output_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": ["a"], "label": ["cat"]}), tmp_path / "other.parquet")
    assert not is_output(tmp_path / "other.parquet")
    with pytest.raises(BadFile, match="has the columns path,label; expected path,label,score,error"):
        read_rows(tmp_path / "other.parquet")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"cannot read .*missing\.csv: No such file"):
        read_rows(tmp_path / "missing.csv")


@pytest.mark.parametrize("start", ["\ufeffpath,label,score,error\n", "path;label;score;error\n"])
def test_what_excel_saved_is_named_with_the_command_that_reads_it(tmp_path: Path, start: str) -> None:
    (tmp_path / "rows.csv").write_text(f"{start}a.jpg,cat,0.9,\n", encoding="utf-8")
    with pytest.raises(BadFile, match=r"was saved by another program, .* clipcli classify --update reads it so"):
        read_rows(tmp_path / "rows.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "o.csv",
            'path,label,score,error\na,cat,1,\n"b\nc",cat,1,\nd,cat\n',
            "o.csv line 5 holds something that is no row",
        ),
        ("o.csv", "path,label,score,error\na,cat,1,\nd,cat\n", r"\(2 fields for 4 columns\)"),
        (
            "o.csv",
            "path,label,score,error\na,cat,high,\n",
            r"o.csv line 2 .*\(a label without a score that is a",
        ),
        ("o.csv", 'path,label,score,error\na,cat,1,\nd,"cat,1,\n', r"o.csv line 3 .*\(unexpected end of data\)"),
        ("o.csv", "path,labels,scores,error\na,cat;dog,1,\n", r"o.csv line 2 .*\(2 labels and 1 scores\)"),
        (
            "o.jsonl",
            '{"path": "a", "label": "cat", "score": 1.0, "error": null}\n{"path": "b", "label": "cat"}\n',
            r"o.jsonl line 2 .*\(it has the names path, label, and the first line path, label, score, error\)",
        ),
        (
            "o.jsonl",
            '{"path": "a", "label": "cat", "score": 1.0, "error": null}\nnonsense\n',
            r"o.jsonl line 2 .*\(it is no object of JSON\)",
        ),
    ],
)
def test_what_is_no_row_is_named_with_its_line_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content)
    with pytest.raises(BadFile, match=message):
        list(read_rows(name)[1])


def test_a_row_of_parquet_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "o.parquet"
    pq.write_table(pa.table({"path": ["a", None], "label": ["x", "x"], "score": [1.0, 1.0], "error": ["", ""]}), path)
    with pytest.raises(BadFile, match=r"o\.parquet row 2 holds .*\(its path is no text\)"):
        list(read_rows(path)[1])
