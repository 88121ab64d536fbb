"""`labels` from files and photos to its report, with a model of random weights and a small vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import clipcli
from clipcli.commands.labels import run
from clipcli.errors import InputNotFound, UsageError

HOW: dict[str, Any] = {"prompts": "plain", "device": "cpu", "precision": "fp32"}


@pytest.fixture(autouse=True)
def _few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "vocabulary", lambda: ("cat", "dog", "house", "sea", "tree"))


def test_without_images_labels_are_compared_with_each_other(model: str) -> None:
    found = clipcli.labels(["red car", "red  car.", "sea"], model=model, **HOW)
    assert isinstance(found, clipcli.LabelReport)
    assert (found.counts, found.skipped) == (None, 0)
    assert {one.kind for one in found.findings} <= {"alike", "words"}


def test_the_counts_are_those_of_classify(model: str, photos: Path) -> None:
    labels = ["cat", "dog", "boat"]
    found = clipcli.labels(labels, images=photos, model=model, **HOW)
    rows = clipcli.classify(photos, labels=labels, model=model, **HOW)
    expected = dict.fromkeys(labels, 0)
    for row in rows:
        expected[row.labels[0]] += 1
    assert isinstance(found, clipcli.LabelReport)
    assert found.counts == expected


def test_words_of_other_scripts_are_a_finding_and_no_warning(model: str, photos: Path) -> None:
    found = clipcli.labels(["猫", "dog"], images=photos, model=model, **HOW)
    assert isinstance(found, clipcli.LabelReport)
    words = [one for one in found.findings if one.kind == "words"]
    assert [one.labels for one in words] == [("猫",)]
    assert words[0].suggestion.startswith("write the labels in English")
    assert words[0].effect == f"these labels get {run.images((found.counts or {})['猫'])} now"


def test_labels_are_suggested_from_the_vocabulary(model: str, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    found = clipcli.labels(images=photos, suggest=True, model=model, **HOW)
    assert isinstance(found, clipcli.Suggested)
    assert set(found.labels) <= set(run.vocabulary())
    assert sum(found.counts.values()) == 6
    assert found.skipped == 1
    assert all(Path(path).exists() for paths in found.examples.values() for path in paths)


def test_what_cannot_be_done_is_said(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no labels were given"):
        clipcli.labels()
    with pytest.raises(UsageError, match="give one of them"):
        clipcli.labels(["cat"], images=photos, suggest=True)
    with pytest.raises(UsageError, match="give images"):
        clipcli.labels(suggest=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFound, match="no images in"):
        clipcli.labels(["cat"], images=tmp_path / "empty")


def test_a_folder_without_a_readable_image_is_an_error(model: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputNotFound, match=r"no image can be read, such as .*a\.jpg: "):
        clipcli.labels(["cat", "dog"], images=tmp_path, model=model, **HOW)
