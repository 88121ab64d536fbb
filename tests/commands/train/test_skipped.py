"""Skipped images become rows, and too many of them are an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.commands.train.processes import Processes
from clipcli.commands.train.skipped import SkippedPairs, as_rows, too_many_skipped
from clipcli.records import ImageItem, Skipped


def skipped(name: str, reason: str = "empty") -> Skipped:
    """An image that could not be read."""
    return Skipped(ImageItem(name, Path(name).read_bytes), reason)


def test_skipped_images_become_rows() -> None:
    assert as_rows([skipped("a.png"), skipped("b.png", "not an image")]) == [
        ("a.png", "empty"),
        ("b.png", "not an image"),
    ]


@pytest.mark.parametrize("total", [1, 10])
def test_no_pair_may_be_skipped_where_the_share_is_zero(total: int) -> None:
    assert too_many_skipped([], total=total, most=0) is None
    assert too_many_skipped([("a.png", "empty")], total=total, most=0) is not None


def test_as_many_as_the_share_are_allowed_and_one_more_is_an_error() -> None:
    rows = [(f"{n}.png", f"reason {n}") for n in range(6)]
    assert too_many_skipped(rows[:5], total=10, most=0.5) is None
    error = too_many_skipped(rows, total=10, most=0.5)
    assert str(error) == (
        "6 of 10 pairs were skipped, more than 50%, such as 0.png: reason 0; "
        "mend the data, or allow it with --max-skipped"
    )


def test_pairs_count_once_they_are_shared_and_only_once() -> None:
    reasons = {"a.png": "no caption"}
    pairs = SkippedPairs(reasons, total=10, most=0.2, processes=Processes())
    pairs.add([skipped("b.png"), skipped("b.png"), skipped("c.png")])
    assert (reasons, pairs.error()) == ({"a.png": "no caption"}, None)
    pairs.share()
    assert reasons == {"a.png": "no caption", "b.png": "empty", "c.png": "empty"}
    assert str(pairs.error()).startswith("3 of 10 pairs were skipped, more than 20%, such as a.png: no caption")
