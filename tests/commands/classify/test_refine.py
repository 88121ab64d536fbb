"""`--refine`: the rows of a run are scored by a classifier that was refined on all its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clipcli
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.errors import ClipcliWarning, UsageError
from clipcli.events import ImagesGathered, Refined, RowsReady
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import Refinement

LABELS = ["cat", "dog", "beach"]


@pytest.fixture
def always_beach(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Refining makes a beach of every image; the numbers of images that it was called with."""
    counts: list[int] = []

    def refine(embeddings: np.ndarray, classifier: Classifier) -> Refinement:
        counts.append(len(embeddings))
        biases = np.array([0, 0, 9], np.float32)
        better = replace(classifier, weights=classifier.class_embeddings, biases=biases, refined_on=len(embeddings))
        return Refinement(better, len(embeddings), changed=2)

    for command in ("classify", "build_classifier", "evaluate"):
        monkeypatch.setattr(f"clipcli.commands.{command}.refined.refine", refine)
    return counts


def test_all_rows_are_scored_by_the_refined_classifier(photos: Path, model: str, always_beach: list[int]) -> None:
    (photos / "broken.jpg").write_text("no image")
    plain = list(clipcli.classify(photos, labels=LABELS, model=model))
    rows = list(clipcli.classify(photos, labels=LABELS, model=model, refine=True, batch_size=2))
    assert always_beach == [6]
    assert [row.path for row in rows] == [row.path for row in plain]
    assert [row.labels for row in rows] == [() if row.error else ("beach",) for row in plain]
    assert {row.labels for row in plain} != {("beach",), ()}


@pytest.mark.usefixtures("always_beach")
def test_every_image_is_encoded_before_the_first_row(photos: Path, model: str) -> None:
    events = list(run(ClassifySettings([str(photos)], labels=LABELS, model=model, refine=True, batch_size=2)))
    kinds = [type(event) for event in events]
    first_row = kinds.index(RowsReady)
    gathered = [event for event in events[:first_row] if isinstance(event, ImagesGathered)]
    assert (gathered[-1].done, gathered[-1].total) == (6, 6)
    assert events[first_row - 1] == Refined(6, 2, None)
    assert ImagesGathered not in kinds[first_row:]


def test_a_first_look_is_refined_on_its_own_images(photos: Path, model: str, always_beach: list[int]) -> None:
    assert len(list(clipcli.classify(photos, labels=LABELS, model=model, refine=True, max_images=4))) == 4
    assert always_beach == [4]


@pytest.mark.usefixtures("always_beach")
def test_a_loaded_model_refines_as_well(photos: Path, model: str) -> None:
    rows = clipcli.load(model).classify(photos, labels=LABELS, refine=True)
    assert {row.labels for row in rows} == {("beach",)}


def test_a_few_images_have_the_rows_of_a_plain_run(photos: Path, model: str) -> None:
    plain = list(clipcli.classify(photos, labels=LABELS, model=model))
    assert list(clipcli.classify(photos, labels=LABELS, model=model, refine=True)) == plain


def test_the_cosine_is_not_refined(photos: Path, model: str) -> None:
    with pytest.raises(UsageError, match="scores of the kind cosine do not; refine with score='softmax'"):
        list(clipcli.classify(photos, labels=LABELS, model=model, score="cosine", refine=True))


@pytest.mark.usefixtures("always_beach")
def test_a_classifier_is_refined_on_a_folder_and_then_used(photos: Path, model: str, tmp_path: Path) -> None:
    classifier = clipcli.build_classifier(LABELS, model=model, refine_on=str(photos))
    assert classifier.refined_on == 6
    classifier.save(tmp_path / "refined.safetensors")
    rows = list(clipcli.classify(photos / "a.jpg", classifier=tmp_path / "refined.safetensors"))
    assert [row.labels for row in rows] == [("beach",)]
    with pytest.raises(UsageError, match="refined already"):
        list(clipcli.classify(photos, classifier=classifier, refine=True))


def test_a_classifier_that_is_left_alone_is_warned_about(photos: Path, model: str) -> None:
    with pytest.warns(ClipcliWarning, match="the classifier is not refined: 6 images are fewer than 200"):
        classifier = clipcli.build_classifier(LABELS, model=model, refine_on=str(photos))
    assert classifier.weights is None


@pytest.mark.usefixtures("always_beach")
def test_images_to_refine_on_that_cannot_be_read_are_counted(photos: Path, model: str) -> None:
    (photos / "broken.jpg").write_text("no image")
    with pytest.warns(ClipcliWarning, match="1 of the 7 images to refine on cannot be read"):
        clipcli.build_classifier(LABELS, model=model, refine_on=str(photos))


@pytest.mark.usefixtures("always_beach")
def test_evaluate_measures_it_beside_the_plain_classifier(photos: Path, model: str, tmp_path: Path) -> None:
    names = [("a.jpg", "cat"), ("b.png", "dog"), ("c.webp", "beach"), ("d.jpg", "beach")]
    table = "".join(f"{photos / name},{label}\n" for name, label in names)
    (tmp_path / "data.csv").write_text(f"path,label\n{table}")
    evaluation = clipcli.evaluate(tmp_path / "data.csv", labels=LABELS, model=model, refine=True)
    assert [(run.prompts, run.refined_on) for run in evaluation.runs] == [("imagenet", None), ("imagenet", 4)]
    assert evaluation.runs[1].metrics["top1"].value == 0.5
    assert any(difference.metric == "top1" for difference in evaluation.differences)
