"""Text in the width of a terminal: no line is over it, and no figure is broken in two."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from clipcli.cli.columns import print_columns
from clipcli.cli.fit import command_lines, cut, cut_start, pack, padded, wrap


def test_a_number_stays_with_the_word_after_it() -> None:
    text = "out.csv: 12,345 rows in 2.5 s, 50.0 images/s once loaded"
    assert wrap(text, 20, more="  ") == ["out.csv: 12,345 rows", "  in 2.5 s,", "  50.0 images/s once", "  loaded"]
    assert wrap("  mean 0.1 0.2 0.3", 11) == ["  mean 0.1", "  0.2 0.3"]


def test_a_word_is_broken_only_where_it_is_longer_than_a_line() -> None:
    assert wrap("in /a/very/long/path now", 10) == ["in", "/a/very/lo", "ng/path", "now"]


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"]), max_size=80), st.integers(12, 60))
def test_no_line_is_wider_and_nothing_is_lost(text: str, width: int) -> None:
    for lines in (wrap(text, width), wrap(text, width, more="  ")):
        assert all(cell_len(line) <= width for line in lines)
        assert "".join("".join(lines).split(" ")) == "".join(text.split(" "))


def test_wide_characters_take_two_cells() -> None:
    assert cut("猫と犬の写真", 7) == "猫と犬…"
    assert cut("猫と犬の写真", 12) == "猫と犬の写真"
    assert cut_start("猫と犬の写真.jpg", 9) == "…写真.jpg"
    assert padded("猫", 4) == "猫  "
    assert cell_len(padded("猫と犬の写真", 6)) == 6


def test_parts_are_not_broken() -> None:
    parts = ["", "loss 0.1234", "rate 1.00e-03", "5.2 GB"]
    assert pack(parts, None) == ["  loss 0.1234  rate 1.00e-03  5.2 GB"]
    assert pack(parts, 20, indent="  ") == ["  loss 0.1234", "  rate 1.00e-03", "  5.2 GB"]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, ["  clipcli evaluate 'my file.csv' --labels l.txt"]),
        (32, ["  clipcli evaluate \\", "    'my file.csv' \\", "    --labels l.txt"]),
    ],
)
def test_a_long_command_can_be_pasted(width: int | None, lines: list[str]) -> None:
    parts = ["clipcli evaluate", "'my file.csv'", "--labels l.txt"]
    assert command_lines(parts, width, indent="  ") == lines


def test_columns_that_are_too_wide_for_the_terminal_become_lines_of_whole_cells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("imagenet", "80", "a bad photo of a {}.", "for photos of any things"), ("name", " 1", "{}", "")]
    monkeypatch.setenv("COLUMNS", "30")
    print_columns(rows)
    assert capsys.readouterr().out.splitlines()[1] == "name       1  {}"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_columns(rows)
    assert capsys.readouterr().out.splitlines() == [
        "imagenet  80",
        "  a bad photo of a {}.",
        "  for photos of any things",
        "name  1  {}",
    ]
