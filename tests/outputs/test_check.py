"""Outputs of one kind: how their names end."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.errors import UsageError
from clipcli.outputs.check import CLASSIFIER, CORRECTIONS, PAGE, check_classifier, check_page, check_suffix


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        ("a/f.txt", PAGE, "--output a/f.txt does not end in .html, and is a page; give --output a/f.html"),
        ("f", CORRECTIONS, "--output f does not end in .csv, and is a table of corrections; give --output f.csv"),
        (
            "c.csv",
            CLASSIFIER,
            "--output c.csv does not end in .safetensors, and is a classifier; give --output c.safetensors",
        ),
    ],
)
def test_a_name_that_ends_as_if_it_were_of_another_kind(output: str, kind: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_suffix(output, kind)
    assert str(raised.value) == message


def test_names_that_end_right(tmp_path: Path) -> None:
    check_page(str(tmp_path / "a.HTM"), [], overwrite=False, flag="--html")
    check_classifier(str(tmp_path / "a.safetensors"), [], overwrite=False)
    check_suffix("a.CSV", CORRECTIONS)


def test_each_command_that_writes_a_page_or_a_classifier_looks_at_the_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--report .*x\.csv does not end in \.html"):
        check_page(str(tmp_path / "x.csv"), [], overwrite=False, flag="--report")
    with pytest.raises(UsageError, match=r"^a classifier cannot go to standard output; give --output FILE$"):
        check_classifier("-", [], overwrite=False)
    with pytest.raises(UsageError, match=r"does not end in \.safetensors, and is a classifier; give"):
        check_classifier(str(tmp_path / "x.csv"), [], overwrite=False)
