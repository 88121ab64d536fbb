"""The command that `classify` proposes measures the labels as they were made, and can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.cli.next_command import next_command
from clipcli.commands.classify.settings import ClassifySettings, RowsFile


def proposed(labels: object, *, output: str = "out.csv", **settings: object) -> str:
    made = ClassifySettings(("photos",), labels=labels, model="tiny", **settings)  # type: ignore[arg-type]
    return " ".join(next_command(made, RowsFile(output=output)))


def test_settings_by_which_labels_change_are_in_it(tmp_path: Path) -> None:
    (tmp_path / "my labels.txt").write_text("cat\ndog\n")
    found = proposed(
        str(tmp_path / "my labels.txt"), prompts="a {}.", keep_duplicates=True, precision="fp32", color="raw", top_k=2
    )
    assert found == (
        f"clipcli evaluate out.csv --labels '{tmp_path}/my labels.txt' --model tiny --prompts 'a {{}}.'"
        " --precision fp32 --color raw --keep-duplicates --allow-empty"
    )


@pytest.mark.parametrize("labels", ["cat\nsalt, pepper\ndog", ("cat", "salt, pepper", "dog")])
def test_labels_of_several_lines_are_on_one(labels: object) -> None:
    found = proposed(labels)
    assert found == """clipcli evaluate out.csv --labels 'cat,"salt, pepper",dog' --model tiny --allow-empty"""


@pytest.mark.parametrize("given", [{"labels": "-"}, {"labels": {"cat": ["kitten"]}}, {"labels": "a, b", "output": "-"}])
def test_what_cannot_be_typed_is_not_proposed(given: dict[str, object]) -> None:
    assert proposed(**given) == ""  # type: ignore[arg-type]
