"""The columns of an output: which there are, what stands in them, and how they are inferred."""

from __future__ import annotations

import pytest

from clipcli.errors import BadFile, UsageError
from clipcli.records import Row
from clipcli.scoring.schema import Schema


def test_columns_follow_top_k() -> None:
    assert Schema().columns == ("path", "label", "score", "error")
    expected = ("path", "label", "score", "label_2", "score_2", "label_3", "score_3", "error")
    assert Schema(top_k=3).columns == expected


def test_kept_columns_come_last_and_never_replace_the_outputs_own() -> None:
    schema = Schema(top_k=1, kept=("who", "label", "score_2", "path", "scored", "labels"))
    assert schema.columns[4:] == ("who", "input_label", "input_score_2", "input_path", "scored", "labels")
    assert schema.types == (str, str, float, str, *[str] * 6)


def test_a_label_path_stands_before_the_error() -> None:
    schema = Schema(top_k=2, kept=("who", "label_path"), has_paths=True)
    assert schema.columns == (
        *("path", "label", "score", "label_2", "score_2", "label_path", "error"),
        *("who", "input_label_path"),
    )
    assert schema.types == (str, str, float, str, float, *[str] * 4)
    row = Row("a", ("dog",), (0.75,), None, ("Ann", None), label_path="animal/dog")
    assert schema.fields(row) == ["a", "dog", 0.75, None, None, "animal/dog", None, "Ann", None]
    # Where there are no groups, a column of that name is one like others.
    assert Schema(kept=("label_path",)).columns[4:] == ("label_path",)


@pytest.mark.parametrize("kept", [("label", "input_label"), ("who", "who")])
def test_kept_columns_that_would_be_called_alike_are_refused(kept: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"both be called {kept[1]}"):
        Schema(kept=kept)


def test_fields_stand_under_their_columns() -> None:
    two = Schema(top_k=2)
    assert two.fields(Row("a", ("cat", "dog"), (0.75, 0.25))) == ["a", "cat", 0.75, "dog", 0.25, None]
    assert two.fields(Row("a", (), (), "truncated")) == ["a", None, None, None, None, "truncated"]
    kept = Schema(top_k=2, kept=("who", "where"))
    assert kept.fields(Row("a", ("cat",), (0.75,), None, ("Ann", None))) == [
        *("a", "cat", 0.75, None, None, None),
        *("Ann", None),
    ]


@pytest.mark.parametrize(
    ("score", "written"), [(0.123456789, 0.123457), (1.23456789e-9, 1.23457e-09), (1.0, 1.0), (0.0, 0.0)]
)
def test_scores_have_six_significant_digits(score: float, written: float) -> None:
    assert Schema().fields(Row("a", ("cat",), (score,)))[2] == written


@pytest.mark.parametrize(
    "row",
    [
        Row("a", ("cat", "dog"), (0.75, 0.25), None, ("Ann", None)),
        Row("a", ("cat",), (0.75,), None, (None, "")),
        Row("a", (), (), "truncated", ("Ann", "Rome")),
        Row("a", ("cat",), (0.75,), None, (None, ""), label_path="animal/cat"),
    ],
)
def test_a_row_comes_back_from_its_fields(row: Row) -> None:
    schema = Schema(top_k=2, kept=("who", "where"), has_paths=row.label_path is not None)
    assert schema.row(schema.fields(row), path="out.csv") == row


@pytest.mark.parametrize(
    "values",
    [
        ["a", "cat", 0.5, None],
        ["a", "cat", 0.5, None, "Ann", "more"],
        ["a", "cat", "high", None, "Ann"],
        ["a", "cat", None, None, "Ann"],
        [None, "cat", 0.5, None, "Ann"],
        ["a", "cat", 0.5, 3, "Ann"],
        ["a", "cat", 0.5, None, 3],
    ],
)
def test_values_of_something_else_are_no_row(values: list[object]) -> None:
    with pytest.raises(BadFile, match=r"out\.csv holds something that is no row"):
        Schema(kept=("who",)).row(values, path="out.csv")


@pytest.mark.parametrize(
    "schema",
    [
        *(Schema(), Schema(top_k=3), Schema(kept=("who",)), Schema(top_k=2, kept=("label", "path", "x,y", ""))),
        *(
            Schema(has_paths=True),
            Schema(top_k=3, has_paths=True, kept=("label", "label_path")),
            Schema(kept=("label_path",)),
        ),
    ],
)
def test_a_schema_is_inferred_from_its_columns(schema: Schema) -> None:
    found = Schema.of(schema.columns, path="out.csv")
    assert (found.columns, found.top_k, found.types) == (schema.columns, schema.top_k, schema.types)
    assert found.has_paths == schema.has_paths


@pytest.mark.parametrize(
    "columns",
    [
        "",
        "path",
        "path,label",
        "path,label,score",
        "path,error",
        "path,truth,label,score,error",
        "path,label,score,label_3,score_3,error",
        "path,label,score,label_2,error",
        "image,label,score,error",
        "path,label,score,error,who,who",
        "path,label,score,error,label,input_label",
        "path,label,score,error,error",
        "path,label_path,error",
        "path,label,label_path,score,error",
        "path,label,score,label_path,error,label_path,input_label_path",
    ],
)
def test_columns_of_something_else_are_no_schema(columns: str) -> None:
    with pytest.raises(BadFile, match=r"other\.csv has the columns .*; expected path,label,score"):
        Schema.of(columns.split(","), path="other.csv")


def test_a_long_header_is_cut_where_it_is_named() -> None:
    columns = ["error", *(f"column{n}" for n in range(1000)), "label"]
    with pytest.raises(BadFile, match=r"has the columns error,column0,.{1,500}…; expected path,label"):
        Schema.of(columns, path="other.csv")


SEVERAL = Schema(several=True, kept=("who", "labels"))
WIDE = Schema(several=True, wide=("cat", "error", "dog"), kept=("cat", "label"))


def test_columns_of_several_labels() -> None:
    assert SEVERAL.columns == ("path", "labels", "scores", "error", "who", "input_labels")
    assert SEVERAL.types == (str, list[str], list[float], str, str, str)
    assert WIDE.columns == ("path", "labels", "cat", "label_error", "dog", "error", "input_cat", "label")
    assert WIDE.types == (str, list[str], float, float, float, str, str, str)


def test_fields_of_several_labels() -> None:
    row = Row("a", ("dog", "cat"), (0.8765432, 0.6), None, ("Ann", None), (0.6, 0.1, 0.8765432))
    assert SEVERAL.fields(row) == ["a", ["dog", "cat"], [0.876543, 0.6], None, "Ann", None]
    assert WIDE.fields(row) == ["a", ["dog", "cat"], 0.6, 0.1, 0.876543, None, "Ann", None]
    none = Row("a", (), (), None, ("Ann", None), (0.1, 0.2, 0.3))
    assert SEVERAL.fields(none)[1:4] == [[], [], None]
    assert WIDE.fields(none)[1:6] == [[], 0.1, 0.2, 0.3, None]
    bad = Row("x", (), (), "truncated", ("Ann", None))
    assert SEVERAL.fields(bad)[1:4] == [None, None, "truncated"]
    assert WIDE.fields(bad)[1:6] == [None, None, None, None, "truncated"]


def test_rows_of_several_labels_come_back() -> None:
    cells = ("Ann", None)
    rows = [
        Row("a", ("dog", "cat"), (0.75, 0.5), None, cells),
        Row("a", (), (), None, cells),
        Row("x", (), (), "bad", cells),
    ]
    assert [SEVERAL.row(SEVERAL.fields(row), path="out.csv") for row in rows] == rows
    rows = [Row("a", ("dog", "cat"), (0.75, 0.5), None, cells, (0.5, 0.25, 0.75)), Row("x", (), (), "bad", cells)]
    assert [WIDE.row(WIDE.fields(row), path="out.csv") for row in rows] == rows


@pytest.mark.parametrize("schema", [Schema(several=True), SEVERAL, WIDE, Schema(several=True, wide=("scores",))])
def test_the_schema_of_several_labels_is_found_by_its_columns(schema: Schema) -> None:
    found = Schema.of(schema.columns, path="out.csv")
    assert (found.columns, found.types, found.wide) == (schema.columns, schema.types, schema.wide)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (Schema(several=True), ["a", ["cat"], [], None]),
        (Schema(several=True), ["a", ["cat", 3], [0.5, 0.5], None]),
        (Schema(several=True), ["a", "cat", [0.5], None]),
        (Schema(several=True, wide=("cat", "dog")), ["a", ["cow"], 0.5, 0.5, None]),
        (Schema(several=True, wide=("cat", "dog")), ["a", ["cat"], 0.5, None, None]),
    ],
)
def test_values_of_something_else_are_no_row_of_several_labels(schema: Schema, values: list[object]) -> None:
    with pytest.raises(BadFile, match=r"out\.csv holds something that is no row"):
        schema.row(values, path="out.csv")


def test_labels_that_would_have_one_column_are_refused() -> None:
    with pytest.raises(UsageError, match="two of the labels would both have the column label_error; rename one"):
        Schema(several=True, wide=("error", "label_error"))
    with pytest.raises(UsageError, match="two of the labels would both have the column cat"):
        Schema(several=True, wide=("cat", "cat"))


def test_columns_that_are_called_alike_are_of_no_output() -> None:
    with pytest.raises(BadFile, match="expected path,label,score,error"):
        Schema.of(("path", "labels", "cat", "cat", "error"), path="out.csv")


def test_what_begins_like_no_output_is_refused_with_its_columns() -> None:
    with pytest.raises(BadFile, match="x has the columns error,path; expected path,label,score,error"):
        Schema.of(("error", "path"), path="x")


def test_a_label_that_is_called_as_the_column_of_another_is_refused() -> None:
    with pytest.raises(UsageError, match="--wide has the column label_error for another label than 'label_error'"):
        Schema(several=True, wide=("label_error", "cat"))


def test_who_chose_the_labels_stands_behind_the_path() -> None:
    kept = ("who", "source")
    schema = Schema(top_k=2, kept=kept, has_paths=True, has_source=True)
    columns = ("path", "source", "label", "score", "label_2", "score_2", "label_path", "error", "who", "input_source")
    assert schema.columns == columns
    assert len(schema.types) == len(columns)
    assert Schema.of(columns, path="out.csv").columns == columns
    row = Row("a", ("cat",), (1.0,), None, ("Ann", "b"), label_path="animal/cat", source="person")
    assert schema.fields(row) == ["a", "person", "cat", 1.0, None, None, "animal/cat", None, "Ann", "b"]
    assert schema.row(schema.fields(row), path="out.csv") == row
    # Elsewhere it is a column of the table like any other.
    assert Schema(kept=kept).columns[4:] == kept


@pytest.mark.parametrize("wide", [(), ("cat", "dog")])
def test_who_chose_several_labels(wide: tuple[str, ...]) -> None:
    schema = Schema(several=True, wide=wide, has_source=True)
    assert schema.columns == ("path", "source", "labels", *(wide or ("scores",)), "error")
    assert Schema.of(schema.columns, path="out.csv") == schema
    all_scores = (0.75, 0.25) if wide else ()
    row = Row("a", ("cat", "bird"), (0.75 if wide else 1.0, 1.0), None, (), all_scores, source="person")
    assert schema.row(schema.fields(row), path="out.csv") == row
    # An image that could not be read, and a person saw.
    seen = Row("a", ("bird",), (1.0,), None, source="person")
    assert schema.row(schema.fields(seen), path="out.csv") == seen


def test_a_label_called_source_has_no_column_where_that_is_taken() -> None:
    assert Schema(several=True, wide=("a", "source")).columns == ("path", "labels", "a", "source", "error")
    with pytest.raises(UsageError, match="--update has a column source of its own; rename the label 'source', or drop"):
        Schema(several=True, wide=("a", "source"), has_source=True)
