"""Scores become rows with the best labels, and rows a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_data import in_memory

from clipcli.records import ImageItem, Row, Scores, Skipped
from clipcli.scoring.rows import to_frame, to_rows
from clipcli.scoring.schema import columns, fields


def _item(name: str) -> ImageItem:
    return in_memory(name)


LABELS = ("cat", "dog", "bird")


def test_a_row_holds_the_best_labels_best_first() -> None:
    scores = Scores((_item("a"), _item("b")), np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]], np.float32))
    a, b = to_rows(scores, LABELS, top_k=2)
    assert (a.path, a.labels, b.path, b.labels) == ("a", ("dog", "bird"), "b", ("cat", "bird"))
    assert a.scores == pytest.approx((0.7, 0.2))
    assert all(type(score) is float for score in a.scores)


def test_a_skipped_image_keeps_its_place_and_takes_no_scores() -> None:
    entries = (Skipped(_item("x"), "truncated"), _item("a"), Skipped(_item("y"), "an empty file"), _item("b"))
    rows = list(to_rows(Scores(entries, np.eye(2, 3, dtype=np.float32)), LABELS, top_k=1))
    assert rows == [
        Row("x", (), (), "truncated"),
        Row("a", ("cat",), (1.0,)),
        Row("y", (), (), "an empty file"),
        Row("b", ("dog",), (1.0,)),
    ]


@pytest.mark.parametrize("count", [3, 300])
def test_ties_keep_the_order_of_the_classes(count: int) -> None:
    values = np.arange(count, dtype=np.float32) % 3
    labels = [f"class {n}" for n in range(count)]
    (row,) = to_rows(Scores((_item("a"),), values[None]), labels, top_k=count)
    assert row.labels == tuple(labels[n] for n in sorted(range(count), key=lambda n: -values[n]))


def test_classes_of_the_same_name_stay_apart() -> None:
    (row,) = to_rows(Scores((_item("a"),), np.array([[0.4, 0.6]], np.float32)), ("crane", "crane"), top_k=2)
    assert row.labels == ("crane", "crane")


def test_columns_follow_top_k() -> None:
    assert columns(1) == ["path", "label", "score", "error"]
    assert columns(3) == ["path", "label", "score", "label_2", "score_2", "label_3", "score_3", "error"]


def test_fields_stand_under_their_columns() -> None:
    assert fields(Row("a", ("cat", "dog"), (0.75, 0.25)), top_k=2) == ["a", "cat", 0.75, "dog", 0.25, None]
    assert fields(Row("a", (), (), "truncated"), top_k=2) == ["a", None, None, None, None, "truncated"]


@pytest.mark.parametrize(
    ("score", "written"), [(0.123456789, 0.123457), (1.23456789e-9, 1.23457e-09), (1.0, 1.0), (0.0, 0.0)]
)
def test_scores_have_six_significant_digits(score: float, written: float) -> None:
    assert fields(Row("a", ("cat",), (score,)), top_k=1)[2] == written


def test_a_frame_has_the_columns_of_the_output() -> None:
    frame = to_frame(iter([Row("a", ("cat", "dog"), (0.75, 0.25)), Row("x", (), (), "truncated")]))
    assert list(frame.columns) == columns(2)
    assert frame.loc[0, ["path", "label", "score", "label_2", "score_2"]].tolist() == ["a", "cat", 0.75, "dog", 0.25]
    assert frame["score"].dtype == np.float64
    assert frame.loc[1, "error"] == "truncated"
    assert pd.isna(frame.loc[1, "label"])
    assert pd.isna(frame.loc[0, "error"])


@pytest.mark.parametrize("rows", [[], [Row("x", (), (), "truncated")]])
def test_a_frame_of_no_scores_still_has_the_columns(rows: list[Row]) -> None:
    frame = to_frame(rows)
    assert list(frame.columns) == columns(1)
    assert len(frame) == len(rows)
