"""Each decision is in the file before it counts, the last is taken back, and accuracy is that of a sample at random."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipcli.commands.review.decisions import Decisions, accuracy, is_right
from clipcli.commands.review.photos import Photo
from clipcli.commands.review.serve import open_decisions
from clipcli.errors import BadFile, UsageError
from clipcli.notices import Notices
from clipcli.outputs.correction import Correction
from clipcli.outputs.corrections import append_corrections, read_corrections
from clipcli.records import PERSON, ImageItem, Reference, Row
from clipcli.scoring.intervals import wilson

from .conftest import Written, labelled, prepared


def photo(said: tuple[str, ...], path: str = "a.jpg") -> Photo:
    return Photo(Row(path, said, (0.5,) * len(said)), ImageItem(path, Reference("file", path)), said, 0.5)


def labels_in(file: str) -> dict[str, str | None]:
    return {path: one.label for path, one in read_corrections([file], Notices()).by_path.items()}


def test_steps_are_written_and_taken_back(tmp_path: Path) -> None:
    file = str(tmp_path / "c.csv")
    others = str(tmp_path / "others.csv")
    append_corrections(others, [Correction("2.jpg", ("dog",), "2026-01-01T00:00:00+00:00")])
    photos = [photo(("cat",), f"{n}.jpg") for n in range(3)]
    decisions = Decisions(file, photos, {2: ("dog",)}, several=False, others=[others])
    decisions.add({0: ("cat",), 1: ("dog",)})
    decisions.add({2: ()})
    assert labels_in(file) == {"0.jpg": "cat", "1.jpg": "dog", "2.jpg": None}
    assert decisions.said == {0: ("cat",), 1: ("dog",), 2: ()}
    assert decisions.take_back() == {2: ("dog",)}
    assert labels_in(file) == {"0.jpg": "cat", "1.jpg": "dog"}
    assert decisions.take_back() == {0: None, 1: None}
    assert (labels_in(file), decisions.said, decisions.made) == ({}, {2: ("dog",)}, False)
    assert decisions.take_back() == {}


def test_steps_of_an_earlier_review_are_taken_back_too(tmp_path: Path) -> None:
    file = str(tmp_path / "c.csv")
    photos = [photo(("cat",), f"{n}.jpg") for n in range(3)]
    first = Decisions(file, photos, {}, several=False)
    first.add({0: ("cat",)})
    first.add({0: ("dog",), 1: ("dog",)})
    append_corrections(file, [Correction("elsewhere.jpg", ("cow",), "2036-01-01T00:00:00+00:00")])
    size = os.path.getsize(file)
    again = Decisions(file, photos, {0: ("dog",), 1: ("dog",)}, several=False)
    assert again.take_back() == {0: ("cat",), 1: None}
    assert (again.said, again.made) == ({0: ("cat",)}, False)
    # Rows are only ever added.
    assert os.path.getsize(file) > size
    assert again.take_back() == {0: None}
    assert labels_in(file) == {"elsewhere.jpg": "cow"}
    assert again.take_back() == {}


def test_decisions_that_were_written_in_another_folder_stand_and_are_taken_back(written: Written) -> None:
    written(labelled(3))
    Path("elsewhere").mkdir()
    others, file = "elsewhere/others.csv", "elsewhere/c.csv"
    append_corrections(others, [Correction("../photos/001.png", ("dog",), "2026-01-01T00:00:00+00:00")])
    append_corrections(file, [Correction("../photos/002.png", ("cat",), "2026-01-02T00:00:00+00:00")])
    review = prepared(output=file, corrections=[others])
    number = {photo.row.path: n for n, photo in enumerate(review.photos)}
    one, two = number["photos/001.png"], number["photos/002.png"]
    with open_decisions(review, file) as decisions:
        assert decisions.said == {one: ("dog",), two: ("cat",)}
        decisions.add({one: ("cow",)})
        assert decisions.take_back() == {one: ("dog",)}
        assert decisions.take_back() == {two: None}
        assert decisions.said == {one: ("dog",)}
    assert prepared(output=file, corrections=[others]).said == {one: ("dog",)}


def test_what_a_row_of_a_person_says_counts_again(tmp_path: Path) -> None:
    row = Row("a.jpg", ("cow",), (1.0,), source=PERSON)
    by_person = Photo(row, ImageItem("a.jpg", Reference("file", "a.jpg")), ("cow",), 1.0)
    decisions = Decisions(str(tmp_path / "c.csv"), [by_person], {0: ("cow",)}, several=False)
    decisions.add({0: ("cat",)})
    assert decisions.take_back() == {0: ("cow",)}


def test_what_cannot_be_written_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("precious\n")
    decisions = Decisions(str(tmp_path / "c.csv"), [photo(("cat",))], {}, several=False)
    with pytest.raises(BadFile):
        decisions.add({0: ("dog",)})
    assert (decisions.said, decisions.made) == ({}, False)


def test_several_labels_are_right_in_any_order() -> None:
    assert is_right(photo(("cat", "dog")), ("dog", "cat"))
    assert not is_right(photo(("cat", "dog")), ("dog",))
    assert is_right(photo(()), ())


def test_accuracy_counts_photos_at_random_up_to_the_first_that_was_not_reviewed() -> None:
    photos = [photo(("cat",)) for _ in range(6)]
    said = {0: ("cat",), 1: ("dog",), 2: ("dog",), 4: ("cat",), 5: ("dog",)}
    found = accuracy(photos, [4, 1, 0, 3, 5], said)
    assert found is not None
    assert (found.right, found.count) == (2, 3)
    assert (found.low, found.high) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert accuracy(photos, [3, 4], said) is None
    assert accuracy(photos, [], said) is None


@pytest.mark.parametrize(
    ("right", "count", "interval"),
    [(0, 1, (0.0, 0.7935)), (1, 1, (0.2065, 1.0)), (45, 50, (0.7864, 0.9565)), (0, 10, (0.0, 0.2775))],
)
def test_the_interval_is_that_of_wilson(right: int, count: int, interval: tuple[float, float]) -> None:
    from scipy.stats import binomtest

    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert wilson(right, count) == pytest.approx(interval, abs=1e-4)


def test_a_file_is_one_reviews_at_a_time_and_left_only_with_decisions(written: Written) -> None:
    written(labelled(8))
    review = prepared()
    with open_decisions(review, "c.csv") as decisions:
        assert Path("c.csv").read_text() == "path,label,reviewed_at\n"
        with pytest.raises(UsageError, match=r"another review is writing c\.csv"), open_decisions(review, "c.csv"):
            pass
        decisions.add({0: ("cat",)})
        decisions.take_back()
    assert not Path("c.csv").exists()
    with open_decisions(review, "c.csv") as decisions:
        decisions.add({0: ("cat",)})
    assert len(labels_in("c.csv")) == 1
    with open_decisions(review, "c.csv"):
        pass
    assert len(labels_in("c.csv")) == 1
