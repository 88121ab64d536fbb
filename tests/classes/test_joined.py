"""Several labels in one cell: what is written is read back, whatever a label holds."""

from __future__ import annotations

import pytest

from clipcli.classes.joined import join_labels, split_labels


@pytest.mark.parametrize(
    ("labels", "cell"),
    [
        ([], ""),
        (["cat"], "cat"),
        (["cat", "red car"], "cat;red car"),
        (["a;b", "cat"], '"a;b";cat'),
        (['5" nail', "cat"], '"5"" nail";cat'),
        ([" a ", "b,c", "d\r\ne"], ' a ;b,c;"d\r\ne"'),
    ],
)
def test_labels_come_back_from_their_cell(labels: list[str], cell: str) -> None:
    assert join_labels(labels) == cell
    assert split_labels(cell) == labels


def test_scores_are_joined_as_they_are_written() -> None:
    assert join_labels([0.75, 1e-05, 1.0]) == "0.75;1e-05;1.0"


def test_a_quote_that_is_not_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="unexpected end of data"):
        split_labels('"cat;dog')
