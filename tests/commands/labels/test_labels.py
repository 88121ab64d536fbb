"""`labels` from files and photos to its report, with a model of random weights and a small vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import clipcli
from clipcli.commands.labels import run
from clipcli.errors import InputNotFound, UsageError
from clipcli.scoring import build

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
    assert words[0].effect == f"this label gets {run.images((found.counts or {})['猫'])} now"


def test_findings_name_labels_as_they_were_written(model: str, photos: Path) -> None:
    # The text tower reads it as the words "斑马 полосатая".
    found = clipcli.labels(["斑马_полосатая"], images=photos, model=model, **HOW)
    assert isinstance(found, clipcli.LabelReport)
    assert found.counts == {"斑马_полосатая": 6}
    [words] = [one for one in found.findings if one.kind == "words"]
    assert words.labels == ("斑马_полосатая",)
    assert words.effect == "this label gets 6 images now"


def test_common_words_that_the_model_does_not_know_are_no_finding(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "vocabulary", lambda: ("house", "дерево"))
    found = clipcli.labels(["猫", "dog"], model=model, **HOW)
    assert isinstance(found, clipcli.LabelReport)
    [words] = [one for one in found.findings if one.kind == "words"]
    assert words.labels == ("猫",)
    assert "дерево" not in words.says


def test_the_words_that_may_be_missing_are_those_that_unknown_images_are_told_by(
    model: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("cat", "dog", "house", "sea", "tree", "couch", "lamp", "river", "boat", "shoe", "rain", "moon")
    monkeypatch.setattr(run, "vocabulary", lambda: words)
    monkeypatch.setattr(build, "vocabulary", lambda: words)
    monkeypatch.setattr(build, "LEAST_WORDS", 2)
    compared: list[tuple[list[str], NDArray[np.float32]]] = []

    def missing(*given: Any) -> Iterator[object]:
        compared.append((given[2], given[3]))
        return iter(())

    monkeypatch.setattr(run, "missing", missing)
    clipcli.labels(["cats", "sofa"], images=photos, model=model, **HOW)
    expected = clipcli.build_classifier(["cats", "sofa"], vocabulary=True, model=model, **HOW)
    [(names, vocabulary)] = compared
    assert expected.vocabulary is not None
    assert np.array_equal(vocabulary, expected.vocabulary)
    # Near synonyms are left out beside the cat.
    assert len(names) == len(vocabulary) < len(words) - 1


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
    with pytest.raises(UsageError, match="standard input is either the labels or a list of images; give one of them"):
        clipcli.labels("-", images="-")
    with pytest.raises(TypeError, match="keep_duplicates"):
        clipcli.labels(["cat"], keep_duplicates=True)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="give images"):
        clipcli.labels(suggest=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFound, match="no images in"):
        clipcli.labels(["cat"], images=tmp_path / "empty")


def test_a_folder_without_a_readable_image_is_an_error(model: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputNotFound, match=r"no image can be read, such as .*a\.jpg: "):
        clipcli.labels(["cat", "dog"], images=tmp_path, model=model, **HOW)
