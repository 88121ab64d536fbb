"""`evaluate` with refined classifiers: those that `--refine` makes, and files that hold one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import FP32, photograph

import clipcli
from clipcli.cli import main
from clipcli.commands.evaluate.results import Run
from clipcli.commands.evaluate.run import run
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.errors import UsageError
from clipcli.events import Noted
from clipcli.scoring.calibration import Calibration, Quality
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import Refinement

LABELS = ["bear", "cat", "cow", "dog", "red fox", "yak"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return photograph(tmp_path / "val", seed=0)


def refined(classifier: Classifier) -> Classifier:
    """The classifier as if it was refined on 1,234 images."""
    biases = np.zeros(len(classifier.labels), np.float32)
    return replace(classifier, weights=classifier.class_embeddings, biases=biases, refined_on=1234, score="softmax")


def test_a_refined_classifier_says_so(
    tree: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = clipcli.build_classifier(LABELS, model=model, prompts="plain", **FP32)
    refined(plain).save(tmp_path / "refined.safetensors")
    output = tmp_path / "out"

    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", str(tree), "--classifier", str(tmp_path / "refined.safetensors"), "-o", str(output)])

    said = capsys.readouterr()
    assert said.out.splitlines()[1].startswith("plain refined ")
    assert "Refined on 1,234 images.\nScores not calibrated.\n" in said.err
    page = (output / "report.html").read_text()
    assert "24 images of 6 classes, prompts plain, refined on 1,234 images, scores not calibrated." in page
    metrics = json.loads((output / "metrics.json").read_text())
    assert (metrics["name"], metrics["prompts"], metrics["refined_on"]) == ("plain refined", "plain", 1234)
    plain_metrics = clipcli.evaluate(tree, classifier=plain, output=tmp_path / "plain", **FP32)
    assert isinstance(plain_metrics.runs[0], Run)
    assert plain_metrics.runs[0].refined_on is None
    assert "refined_on" not in json.loads((tmp_path / "plain/metrics.json").read_text())


def test_plain_and_refined_runs_of_two_data_are_compared_with_their_like(
    tree: Path, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refine(embeddings: np.ndarray, classifier: Classifier) -> Refinement:
        return Refinement(replace(refined(classifier), refined_on=len(embeddings)), len(embeddings), changed=0)

    monkeypatch.setattr("clipcli.commands.evaluate.refined.refine", refine)
    other = photograph(tmp_path / "other", seed=1, images_per_class=5)
    found = clipcli.evaluate([tree, other], model=model, prompts="plain", refine=True, **FP32)
    assert [(one.run, one.base) for one in found.differences if one.metric == "top1"] == [
        ("val, plain refined", "val, plain"),
        ("other, plain", "val, plain"),
        ("other, plain refined", "other, plain"),
        ("other, plain refined", "val, plain refined"),
    ]


def test_a_sigmoid_is_refined_as_a_softmax(
    tree: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = []

    def refine(embeddings: np.ndarray, classifier: Classifier) -> Refinement:
        kinds.append(classifier.score)
        return Refinement(refined(classifier), len(embeddings), changed=0)

    monkeypatch.setattr("clipcli.commands.evaluate.refined.refine", refine)
    model = str(models["sigmoid"])
    events = list(run(EvaluateSettings(str(tree), model=model, prompts=["plain", "name"], refine=True)))
    assert kinds == ["sigmoid", "sigmoid"]
    [note] = [event for event in events if isinstance(event, Noted) and "sigmoid" in event.message]
    assert note.message.endswith("are sigmoids; refined, they are a softmax over the labels.")


@pytest.mark.parametrize("kind", ["refined", "calibrated"])
def test_what_cannot_be_refined_is_refused_before_a_model_is_opened(tree: Path, model: str, kind: str) -> None:
    classifier = clipcli.build_classifier(LABELS, model=model, prompts="plain", **FP32)
    quality = Quality(ece=0.2, ece_low=0.0, ece_high=0.3, top1=0.4, nll=1.8)
    calibration = Calibration(temperature=2.0, biases=None, images=50, labels=6, before=quality, after=quality)
    given = refined(classifier) if kind == "refined" else replace(classifier, calibration=calibration)
    options: dict[str, Any] = {"classifier": given, "model": "nowhere", "refine": True}
    with pytest.raises(UsageError, match=f"the classifier is {kind}"):
        clipcli.evaluate(tree, **options)
