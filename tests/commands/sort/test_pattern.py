"""Patterns of folders: their fields, and what they may not do."""

from __future__ import annotations

from datetime import date

import pytest

from clipcli.commands.sort.pattern import read_pattern
from clipcli.errors import UnknownName, UsageError

DAY = date(2024, 3, 9)


@pytest.mark.parametrize(
    ("pattern", "folders"),
    [
        ("{label}", ("beagle",)),
        ("{label}/{year}", ("beagle", "2024")),
        ("{year}-{month}-{day} {label}", ("2024-03-09 beagle",)),
        ("{label_path}", ("animal", "dog", "beagle")),
        ("by label/{label_path}/{year}/", ("by label", "animal", "dog", "beagle", "2024")),
        ("{group}\\{score}", ("animal", "0.8-0.9")),
        ("all", ("all",)),
        ("{{x}}", ("{x}",)),
        ("", ()),
    ],
)
def test_the_folders_of_a_label(pattern: str, folders: tuple[str, ...]) -> None:
    assert read_pattern(pattern).folders(("animal", "dog", "beagle"), 0.85, day=DAY) == folders


def test_a_label_is_one_folder_whatever_it_holds() -> None:
    assert read_pattern("{label}/{label_path}").folders(("a/b",), 0.5, day=None) == ("a/b", "a/b")


@pytest.mark.parametrize(
    ("score", "tenth"),
    [(0.0, "0.0-0.1"), (0.29999, "0.2-0.3"), (0.3, "0.3-0.4"), (0.7, "0.7-0.8"), (1.0, "0.9-1.0"), (-0.05, "-0.1-0.0")],
)
def test_scores_are_in_tenths(score: float, tenth: str) -> None:
    assert read_pattern("{score}").folders(("x",), score, day=None) == (tenth,)


def test_only_a_pattern_with_a_date_has_one() -> None:
    assert [read_pattern(f"{{label}}/{{{field}}}").has_date for field in ("year", "month", "day", "score")] == [
        *(True, True, True, False)
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{lable}", "unknown field of --folders 'lable'; choose one of: label, "),
        ("{label:>9}", "unknown field of --folders 'label:>9'"),
        ("{}", "unknown field of --folders ''"),
        ("{label", "--folders {label is not understood: expected '}' before end of string; write it as in"),
        ("../{label}", "--folders ../{label} leads out of its folder; leave out .."),
        ("a/./b", "--folders a/./b leads out of its folder; leave out ."),
        ("/{label}", "--folders /{label} is below --into DIR; leave out its first character"),
        ("x {label_path}", "--folders x {label_path}: {label_path} is folders of its own; put a / before and after"),
    ],
)
def test_what_is_no_pattern_is_said(pattern: str, message: str) -> None:
    with pytest.raises(UsageError) as e:
        read_pattern(pattern)
    assert str(e.value).startswith(message)
    assert isinstance(e.value, UnknownName) == message.startswith("unknown")
