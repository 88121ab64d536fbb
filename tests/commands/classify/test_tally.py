"""What the summary counts: labels, reasons and the rows in doubt, in memory that does not grow with the rows."""

from __future__ import annotations

import re
import sys
import tracemalloc

import pytest
from rich.cells import cell_len

from clipcli.cli.classify_summary import Summary
from clipcli.cli.display import Display
from clipcli.cli.label_table import table
from clipcli.commands.classify.tally import OTHER_REASONS, Tally
from clipcli.events import InputsFound, RowsReady
from clipcli.records import Row


def skipped(path: str, reason: str) -> Row:
    return Row(path, (), (), reason)


def test_labels_have_count_and_mean_and_the_lowest_scores_are_in_doubt() -> None:
    tally = Tally()
    scores = [0.9, 0.3, 0.5, 0.3, 0.7, 0.2]
    tally.add([Row(f"{n}.jpg", ("cat" if n < 4 else "dog",), (score,)) for n, score in enumerate(scores[:3])])
    tally.add([Row(f"{n}.jpg", ("cat" if n < 4 else "dog",), (score,)) for n, score in enumerate(scores) if n > 2])
    tally.add([skipped("x.jpg", "truncated")])
    assert (tally.rows, tally.skipped, tally.labelled) == (7, 1, 6)
    assert {label: (one.count, one.mean) for label, one in tally.labels.items()} == {
        "cat": (4, pytest.approx(0.5)),
        "dog": (2, pytest.approx(0.45)),
    }
    assert [row.path for _, _, row in tally.in_doubt] == ["5.jpg", "1.jpg", "3.jpg"]


def test_with_second_labels_the_nearest_are_in_doubt() -> None:
    tally = Tally()
    pairs = [(0.3, 0.1), (0.5, 0.49), (0.9, 0.05), (0.6, 0.55)]
    tally.add([Row(f"{n}.jpg", ("cat", "dog"), pair) for n, pair in enumerate(pairs)])
    assert [row.path for _, _, row in tally.in_doubt] == ["1.jpg", "3.jpg", "0.jpg"]


def test_memory_does_not_grow_with_the_rows() -> None:
    tally = Tally()

    def add(start: int) -> int:
        for n in range(start, start + 20_000, 100):
            # Scores that fall, so that each row is more in doubt than all before, and reasons that all differ.
            tally.add([Row(f"{m}.jpg", ("cat",), (1 / (m + 1),)) for m in range(n, n + 50)])
            tally.add([skipped(f"{m}.jpg", f"broken at byte {m}") for m in range(n + 50, n + 100)])
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = add(0)
        assert add(20_000) - first < 20_000
    finally:
        tracemalloc.stop()
    assert len(tally.reasons) == 101
    assert tally.reasons[OTHER_REASONS] == 20_000 - 100


LABELS = (
    "猫と犬が一緒に写っている写真、とても長いラベルです",
    "a red car that stands in front of a house in the rain",
    "cat",
)


THIRDS = [("667", "33.2", "%"), ("667", "33.2", "%"), ("666", "33.1", "%")]


def a_tally() -> Tally:
    tally = Tally()
    tally.add([Row(f"{'very/' * 9}写真_{n:04}.jpg", (LABELS[n % 3], "dog"), (0.5, 0.1)) for n in range(2000)])
    tally.add([skipped(f"photos/{n}.jpg", "cannot be decoded: decoder error -2") for n in range(10)])
    return tally


@pytest.mark.parametrize("width", [20, 40, 80, 140])
def test_the_table_fits_the_terminal(width: int) -> None:
    lines = [line.plain for line in table(a_tally(), width)]
    assert all(cell_len(line) <= width for line in lines)
    if width >= 40:
        figures = [line.rstrip(" █").split()[-4:] for line in lines[1:4]]
        assert figures == [[count, *share, "0.500"] for count, *share in THIRDS]
    assert ("█" in "".join(lines)) == (width > 40)


def test_without_a_terminal_nothing_but_very_long_labels_is_cut() -> None:
    lines = [line.plain for line in table(a_tally(), None)]
    assert lines[2] == " a red car that stands in front of a hou…     667  33.2 %       0.500  " + "█" * 28
    assert lines[4:] == [
        f" {'skipped':40}      10   0.5 %",
        "   10 such as photos/0.jpg: cannot be decoded: decoder error -2",
    ]


def test_more_labels_than_are_shown_are_counted() -> None:
    tally = Tally()
    tally.add([Row("a.jpg", (f"label {n % 30:02}",), (0.5,)) for n in range(55)])
    assert [line.plain for line in table(tally, None)][-1] == " … and 10 more labels of 15 images"


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_line_of_a_summary_is_over_the_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    display = Display(quiet=False, verbose=False)
    summary = Summary("out.csv", next_command=["clipcli evaluate", "out.csv", "--labels labels.txt"])
    summary.tally = a_tally()
    summary.show(display)
    said = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().err).splitlines()
    assert [line for line in said if cell_len(line) > width] == []
    assert sum("写真_" in line for line in said) == 3
    assert any("out.csv: 2,010 rows in" in line for line in said)
    assert said[-1].endswith("clipcli evaluate out.csv --labels labels.txt") == (width > 40)


def test_a_run_without_one_label_praises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("out.csv", next_command=["clipcli evaluate", "out.csv"])
    for event in (InputsFound(2), RowsReady((skipped("a.jpg", "not an image"), skipped("b.jpg", "truncated")))):
        summary.add(event)
    summary.show(Display(quiet=False, verbose=False))
    assert capsys.readouterr().err == (
        "\n skipped       2  100.0 %\n   a.jpg: not an image\n   b.jpg: truncated\n\n"
        "out.csv: 2 rows and not one label, as no image could be read; the column error says why.\n"
    )
    assert summary.exit_code() == 3


SEVERAL = [
    Row("0.jpg", ("cat", "dog"), (0.9, 0.6)),
    Row("1.jpg", ("dog",), (0.8,)),
    Row("2.jpg", (), ()),
    Row("3.jpg", ("dog", "cow", "cat"), (0.9, 0.8, 0.5)),
    skipped("x.jpg", "truncated"),
]


def test_of_several_labels_each_counts_and_an_image_may_have_none() -> None:
    tally = Tally(several=True)
    tally.add(SEVERAL)
    assert (tally.rows, tally.skipped, tally.without, tally.labelled, tally.given) == (5, 1, 1, 3, 6)
    assert {label: (one.count, one.mean) for label, one in tally.labels.items()} == {
        "cat": (2, pytest.approx(0.7)),
        "dog": (3, pytest.approx(2.3 / 3)),
        "cow": (1, pytest.approx(0.8)),
    }
    assert [row.path for _, _, row in tally.in_doubt] == ["3.jpg", "0.jpg", "1.jpg"]


def test_the_summary_of_several_labels(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("out.csv", several=True)
    summary.add(InputsFound(5))
    summary.add(RowsReady(tuple(SEVERAL)))
    with Display(quiet=False, verbose=False) as display:
        summary.show(display)
    lines = [line.rstrip(" █") for line in capsys.readouterr().err.splitlines()]
    assert lines[1:9] == [
        " label     images   share  mean score",
        " dog            3  60.0 %       0.767",
        " cat            2  40.0 %       0.700",
        " cow            1  20.0 %       0.800",
        " no label       1  20.0 %",
        " skipped        1  20.0 %",
        "   x.jpg: truncated",
        "1.50 labels an image; an image counts for each of its labels",
    ]
    assert lines[10:14] == [
        "Look at these first, one of their labels is only just over its threshold:",
        " 0.500 cat  3.jpg",
        " 0.600 dog  0.jpg",
        " 0.800 dog  1.jpg",
    ]
    assert summary.exit_code() == 3


def test_images_without_one_label_are_said_to_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("out.csv", several=True)
    summary.add(InputsFound(1))
    summary.add(RowsReady((Row("2.jpg", (), ()),)))
    with Display(quiet=False, verbose=False) as display:
        summary.show(display)
    said = capsys.readouterr().err
    assert "out.csv: 1 rows and not one label; --multi-label-at with a lower score gives more." in said
    assert "no image could be read" not in said
    assert summary.exit_code() == 0


def test_by_score_the_second_score_does_not_count() -> None:
    rows = [Row("a.jpg", ("unknown", "cat"), (0.85, 0.8)), Row("b.jpg", ("dog", "cat"), (0.6, 0.1))]
    tallies = [Tally(by_score=by_score) for by_score in (False, True)]
    for tally in tallies:
        tally.add(rows)
    firsts = [[(round(sure, 6), row.path) for sure, _, row in tally.in_doubt] for tally in tallies]
    assert firsts == [[(0.05, "a.jpg"), (0.5, "b.jpg")], [(0.6, "b.jpg"), (0.85, "a.jpg")]]
