"""Scores become decisions, decisions rows with the best labels, and rows a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from small_data import in_memory

from clipcli.errors import UsageError
from clipcli.records import Decided, Decision, ImageItem, Row, Scores, Skipped
from clipcli.scoring.decide import decide
from clipcli.scoring.rows import to_frame, to_rows
from clipcli.scoring.schema import Schema


def _item(name: str) -> ImageItem:
    return in_memory(name)


LABELS = ("cat", "dog", "bird")


def _rows(scores: Scores, labels: Sequence[str], *, top_k: int) -> list[Row]:
    return list(to_rows(decide(scores, top_k=top_k), labels))


def test_a_row_holds_the_best_labels_best_first() -> None:
    scores = Scores((_item("a"), _item("b")), np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]], np.float32))
    a, b = _rows(scores, LABELS, top_k=2)
    assert (a.path, a.labels, b.path, b.labels) == ("a", ("dog", "bird"), "b", ("cat", "bird"))
    assert a.scores == pytest.approx((0.7, 0.2))
    assert all(type(score) is float for score in a.scores)


def test_a_skipped_image_keeps_its_place_and_takes_no_scores() -> None:
    entries = (Skipped(_item("x"), "truncated"), _item("a"), Skipped(_item("y"), "an empty file"), _item("b"))
    rows = _rows(Scores(entries, np.eye(2, 3, dtype=np.float32)), LABELS, top_k=1)
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
    (row,) = _rows(Scores((_item("a"),), values[None]), labels, top_k=count)
    assert row.labels == tuple(labels[n] for n in sorted(range(count), key=lambda n: -values[n]))


def test_classes_of_the_same_name_stay_apart() -> None:
    (row,) = _rows(Scores((_item("a"),), np.array([[0.4, 0.6]], np.float32)), ("crane", "crane"), top_k=2)
    assert row.labels == ("crane", "crane")


def test_a_decision_is_indices_with_their_scores() -> None:
    entries = (_item("a"), Skipped(_item("x"), "truncated"), _item("b"))
    scores = Scores(entries, np.array([[0.125, 0.5, 0.375], [0.5, 0.0, 0.5]], np.float32))
    decided = decide(scores, top_k=2)
    assert decided == Decided(entries, (Decision((1, 2), (0.5, 0.375)), Decision((0, 2), (0.5, 0.5))))
    assert {type(n) for decision in decided.decisions for n in decision.classes} == {int}


def test_rows_keep_cells_of_good_and_of_skipped_images() -> None:
    one = ImageItem("a", bytes, cells={"who": "Ann", "where": "Rome"})
    two = Skipped(ImageItem("b", bytes, cells={"where": "Oslo"}), "truncated")
    decided = Decided((one, two), (Decision((1,), (0.5,)),))
    assert list(to_rows(decided, LABELS, kept=("where", "who"))) == [
        Row("a", ("dog",), (0.5,), None, ("Rome", "Ann")),
        Row("b", (), (), "truncated", ("Oslo", None)),
    ]


def test_rows_have_the_path_of_their_first_label() -> None:
    decided = Decided((_item("a"), Skipped(_item("x"), "truncated")), (Decision((3, 1), (0.75, 0.5)),))
    rows = list(to_rows(decided, (*LABELS, "pet"), paths=("pet/cat", "pet/dog", "bird", "pet")))
    assert rows == [
        Row("a", ("pet", "dog"), (0.75, 0.5), label_path="pet"),
        Row("x", (), (), "truncated"),
    ]
    frame = to_frame(rows)
    assert list(frame.columns) == ["path", "label", "score", "label_2", "score_2", "label_path", "error"]
    assert frame["label_path"].tolist()[0] == "pet"
    assert frame["label_path"].isna().tolist() == [False, True]


def test_a_frame_has_the_columns_of_the_output() -> None:
    frame = to_frame(iter([Row("a", ("cat", "dog"), (0.75, 0.25)), Row("x", (), (), "truncated")]))
    assert list(frame.columns) == list(Schema(top_k=2).columns)
    assert frame.loc[0, ["path", "label", "score", "label_2", "score_2"]].tolist() == ["a", "cat", 0.75, "dog", 0.25]
    assert frame["score"].dtype == np.float64
    assert frame.loc[1, "error"] == "truncated"
    assert pd.isna(frame.loc[1, "label"])
    assert pd.isna(frame.loc[0, "error"])


@pytest.mark.parametrize("rows", [[], [Row("x", (), (), "truncated")]])
def test_a_frame_of_no_scores_still_has_the_columns(rows: list[Row]) -> None:
    frame = to_frame(rows)
    assert list(frame.columns) == list(Schema().columns)
    assert len(frame) == len(rows)


def test_a_frame_of_kept_cells_needs_their_names() -> None:
    rows = [Row("a", ("cat",), (0.75,), None, ("Ann", "1"))]
    frame = to_frame(rows, schema=Schema(kept=("who", "label")))
    assert frame.loc[0].to_dict() == {
        "path": "a",
        "label": "cat",
        "score": 0.75,
        "error": None,
        "who": "Ann",
        "input_label": "1",
    }
    with pytest.raises(UsageError, match="schema="):
        to_frame(rows)
