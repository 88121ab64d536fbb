"""`evaluate --unknown-folder`: its figures are what scikit-learn makes of the scores, in files and on the page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import FP32, photograph

import clipcli
from clipcli.cli import main
from clipcli.commands.evaluate.results import Run
from clipcli.commands.evaluate.unknown import unknown_statistics
from clipcli.errors import UsageError
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.intervals import bootstrap
from clipcli.scoring.refine import Refinement
from clipcli.scoring.unknown import unknown_scores


def test_the_figures_by_hand() -> None:
    # Of 5 known images one is above 0.8, and of 4 unknown ones two; ten pairs are in the right order, and one is even.
    scores = np.array([0.1, 0.2, 0.3, 0.5, 0.9, 0.15, 0.5, 0.85, 0.95], dtype=np.float32)
    is_known = np.arange(9) < 5

    found = bootstrap(unknown_statistics(scores, is_known, at=0.8), count=9)

    right = 1 + 3.5 + 4 + 5
    assert found["auroc"].value == pytest.approx(right / 20)
    # All 5 known images are kept with three of the four others.
    assert found["fpr95"].value == pytest.approx(0.75)
    assert (found["known_lost"].value, found["unknown_found"].value) == (pytest.approx(0.2), pytest.approx(0.5))
    assert found["auroc"].low < found["auroc"].value < found["auroc"].high <= 1


def test_one_image_of_a_kind_is_enough() -> None:
    found = bootstrap(unknown_statistics(np.array([0.2, 0.9], np.float32), np.array([True, False]), at=0.8), count=2)

    assert [found[key].value for key in ("auroc", "fpr95", "known_lost", "unknown_found")] == [1, 0, 0, 1]
    assert all(np.isfinite(one.resampled).all() for one in found.values())


def test_the_figures_are_those_of_the_scores(tmp_path: Path, photos: Path, model: str) -> None:
    from sklearn.metrics import roc_auc_score

    tree = photograph(tmp_path / "val", seed=0)
    (photos / "bad.jpg").write_text("no image")
    options = {"model": model, "prompts": "plain", **FP32}

    evaluation = clipcli.evaluate(tree, unknown_folder=str(photos), output=tmp_path / "out", **options)

    labels = ["bear", "cat", "cow", "dog", "red fox", "yak"]
    classifier = clipcli.build_classifier(labels, vocabulary=True, **options)
    loaded = clipcli.load(model, **FP32)
    known = unknown_scores(loaded.embed_images(tree), classifier)
    readable = [path for path in sorted(photos.rglob("*.*")) if path.name != "bad.jpg"]
    unknown = unknown_scores(loaded.embed_images(readable), classifier)
    scores = np.concatenate([known, unknown])
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["unknown"]
    assert (found["n"], found["skipped"], found["at"]) == (6, 1, 0.8)
    assert found["auroc"] == pytest.approx(roc_auc_score(np.arange(len(scores)) >= len(known), scores), abs=1e-6)
    assert found["known_lost"] == pytest.approx((known >= 0.8).mean())
    assert found["intervals"]["auroc"][0] <= found["auroc"] <= found["intervals"]["auroc"][1]
    assert found["curve"]["unknown_kept"][0] == 0
    assert found["curve"]["known_kept"][-1] == 1
    assert evaluation.skipped == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"6 images of {photos} are of none of the classes." in page
    assert "FPR at 95 % TPR" in page
    assert "bad.jpg" in page


def test_a_classifier_without_words_gets_them(tmp_path: Path, photos: Path, model: str) -> None:
    tree = photograph(tmp_path / "val", seed=0)
    how: dict[str, Any] = {"unknown_folder": str(photos)}
    labels = ["bear", "cat", "cow", "dog", "red fox", "yak"]
    found = [
        clipcli.evaluate(tree, classifier=classifier, **how).runs[0]
        for classifier in (
            clipcli.build_classifier(labels, model=model, prompts="plain", vocabulary=vocabulary)
            for vocabulary in (False, True)
        )
    ]
    assert isinstance(found[0], Run)
    assert isinstance(found[1], Run)
    assert found[0].unknown is not None
    assert found[1].unknown is not None
    assert found[0].unknown.metrics["auroc"].value == found[1].unknown.metrics["auroc"].value


def test_each_refined_run_has_its_figures_too(
    tmp_path: Path, photos: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refine(embeddings: np.ndarray, classifier: Classifier) -> Refinement:
        # The classes change places with the words, so that the figures of a refined run are others.
        assert classifier.vocabulary is not None
        swapped = classifier.vocabulary[: len(classifier.labels)]
        biases = np.zeros(len(swapped), np.float32)
        better = replace(classifier, class_embeddings=swapped, weights=swapped, biases=biases, refined_on=24)
        return Refinement(better, len(embeddings), changed=3)

    monkeypatch.setattr("clipcli.commands.evaluate.refined.refine", refine)
    tree = photograph(tmp_path / "val", seed=0)
    options: dict[str, Any] = {"model": model, "unknown_folder": str(photos), **FP32}

    evaluation = clipcli.evaluate(tree, prompts=["plain", "name"], refine=True, output=tmp_path / "out", **options)

    runs = [run for run in evaluation.runs if isinstance(run, Run)]
    assert [(run.prompts, run.refined_on) for run in runs] == [
        ("plain", None),
        ("plain", 24),
        ("name", None),
        ("name", 24),
    ]
    aurocs = [run.unknown.metrics["auroc"].value for run in runs if run.unknown is not None]
    plain = [clipcli.evaluate(tree, prompts=prompts, **options).runs[0] for prompts in ("plain", "name")]
    assert aurocs[::2] == [run.unknown.metrics["auroc"].value for run in plain if isinstance(run, Run) and run.unknown]
    assert aurocs[0] != aurocs[1]
    assert aurocs[2] != aurocs[3]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [run["name"] for run in metrics["runs"]] == ["plain", "plain refined", "name", "name refined"]
    assert [(run["prompts"], run.get("refined_on")) for run in metrics["runs"]] == [
        ("plain", None),
        ("plain", 24),
        ("name", None),
        ("name", 24),
    ]
    assert "refined_on" not in metrics["runs"][0]


def test_one_class_is_told_from_other_things(
    tmp_path: Path, photos: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = photograph(tmp_path / "val", seed=0)
    for folder in tree.iterdir():
        if folder.name != "cat":
            shutil.rmtree(folder)
    output = tmp_path / "out"
    command = [
        "evaluate",
        str(tree),
        "--labels",
        "cat",
        "--unknown-folder",
        str(photos),
        "--model",
        model,
        "-o",
        str(output),
    ]

    with pytest.raises(SystemExit, match="0"):
        main(command)

    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()[:2]] == [
        ["images", "top-1", "top-5", "mean", "recall", "ECE", "NLL"],
        ["imagenet", "4", *"–––––"],
    ]
    assert "AUROC" in said.out
    assert "precision" not in said.out
    assert "One class alone is always the best one: only the figures of unknown images say something." in said.err
    metrics = json.loads((output / "metrics.json").read_text())
    assert (metrics["top1"], metrics["ece"], metrics["unknown"]["at"]) == (None, None, 0.5)
    assert not {"per_class", "reliability"} & set(metrics)
    page = (output / "report.html").read_text()
    assert "4 images of one class, cat, beside which there is nothing to choose from." in page
    assert "4 images of 1 class, prompts imagenet" in page
    assert "Unknown images, in figures" in page
    assert "Classes, the worst first" not in page
    # The folder's name is the class as well.
    [by_folder, by_label] = [
        clipcli.evaluate(tree, model=model, unknown_folder=str(photos), **given).runs[0]
        for given in ({}, {"labels": ["cat"]})
    ]
    assert isinstance(by_folder, Run)
    assert isinstance(by_label, Run)
    assert by_folder.unknown == by_label.unknown


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"linear_probe": "val"}, "linear_probe needs at least two classes, and there is one alone"),
        ({"compare": "other.csv"}, "compare needs at least two classes"),
        ({"back_off": 0.5}, "back_off needs at least two classes"),
        (
            {"unknown_folder": None},
            "one label only, 'cat'; expected at least two to choose from, or images of other th",
        ),
    ],
)
def test_one_class_has_nothing_to_choose_from(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    (tmp_path / "val" / "cat").mkdir(parents=True)
    shutil.copy(next(photograph(tmp_path / "all", seed=0).rglob("*.png")), tmp_path / "val" / "cat")
    with pytest.raises(UsageError, match=message):
        clipcli.evaluate(
            tmp_path / "val", **{"labels": ["cat"], "unknown_folder": "others", "model": "nowhere", **given}
        )


def test_unknown_images_that_cannot_be_read_are_counted_apart(
    tmp_path: Path, photos: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcli.commands.evaluate.report._MOST_SKIPPED", 3)
    tree = photograph(tmp_path / "val", seed=0)
    for n in range(2):
        (tree / "cat" / f"bad{n}.png").write_text("no image")
    for n in range(5):
        (photos / f"worse{n}.png").write_text("no image")
    options: dict[str, Any] = {"model": model, "prompts": "plain", "unknown_folder": str(photos)}

    clipcli.evaluate(tree, output=tmp_path / "out", **options)
    assert "And 4 more of the images of no class, which are in no file." in (tmp_path / "out/report.html").read_text()
    assert "more in predictions.csv" not in (tmp_path / "out/report.html").read_text()

    for n in range(2, 5):
        (tree / "cat" / f"bad{n}.png").write_text("no image")
    clipcli.evaluate(tree, output=tmp_path / "both", **options)
    page = (tmp_path / "both/report.html").read_text()
    assert "And 2 more in predictions.csv. And 5 more of the images of no class, which are in no file." in page
