"""`clipcli labels`: findings on stdout in plain sentences, proposed labels one a line, all else on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.commands.labels import run as labels_run
from clipcli.commands.labels.findings import Finding, LabelReport

from .conftest import Run

HOW = ("--prompts", "plain", "--device", "cpu", "--precision", "fp32")


@pytest.fixture(autouse=True)
def _few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_run, "vocabulary", lambda: ("cat", "dog", "house", "sea", "tree"))


def test_findings_are_printed_by_kind_with_the_counts_first(run: Run, model: str, photos: Path) -> None:
    done = run("labels", "猫, dog", "--images", photos, "--model", model, *HOW)
    assert done.code == 0
    lines = done.out.splitlines()
    counts = {line.split()[1]: int(line.split()[0]) for line in lines[:2]}
    assert sum(counts.values()) == 6
    assert counts.keys() == {"猫", "dog"}
    at = lines.index("Words that the model does not know")
    assert lines[at + 1].startswith("- ")
    assert "'猫' in pieces of letters" in lines[at + 1]
    assert lines[at + 2].startswith("  write the labels in English")
    assert lines[at + 3] == f"  Effect: this label gets {counts['猫']} image{'s' * (counts['猫'] != 1)} now."
    assert "clipcli: " not in done.err


def test_of_many_findings_of_a_kind_the_rest_are_counted(run: Run, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Finding("alike", ("a", "b"), f"'a' and 'b{n}' are near", "make one an alias") for n in range(12)]
    monkeypatch.setattr(labels_run, "alike", lambda *_: iter(many))
    lines = run("labels", "a, b", "--model", model, *HOW).out.splitlines()
    assert lines.index("Labels that nearly coincide") == 0
    assert lines[19:22] == [
        "- 'a' and 'b9' are near.",
        "  make one an alias.",
        "- And 2 more, which clipcli.labels in Python gives too.",
    ]
    report = labels_run.labels(["a", "b"], model=model, prompts="plain", device="cpu", precision="fp32")
    assert isinstance(report, LabelReport)
    assert [one.says for one in report.findings] == [one.says for one in many]
    monkeypatch.setattr(labels_run, "alike", lambda *_: iter(many[:10]))
    assert " more" not in run("labels", "a, b", "--model", model, *HOW).out


def test_labels_has_no_flag_for_duplicates(run: Run) -> None:
    assert "--keep-names" in run("labels", "--help").out
    assert "--keep-duplicates" not in run("labels", "--help").out


def test_the_model_is_named_once(run: Run, model: str) -> None:
    for _ in range(2):
        done = run("labels", "a, b", "--model", model, *HOW)
    assert done.err.count("what is known comes from the cache") == 1


def test_labels_with_which_nothing_is_wrong_are_told_so(run: Run, model: str) -> None:
    done = run("labels", "a", "--model", model, *HOW)
    assert done.out == "Nothing was found to change in this one label.\n"


def test_proposed_labels_are_a_file_of_labels(run: Run, model: str, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    done = run("labels", "--suggest", "--images", photos, "--model", model, *HOW)
    assert done.code == 3
    assert set(done.out.split()) <= {"cat", "dog", "house", "sea", "tree"}
    assert "1 image is left out, as it cannot be read" in done.err
    (tmp_path / "proposed.txt").write_text(done.out)
    again = run("labels", "proposed.txt", "--model", model, *HOW)
    assert again.code == 0


def test_images_are_needed_to_suggest(run: Run) -> None:
    done = run("labels", "--suggest")
    assert (done.code, done.out) == (2, "")
    assert done.err == "clipcli: --suggest proposes labels for images; give --images FOLDER\n"
