"""`clipcli calibrate`: a file for `--classifier`, and in words what was chosen and how true the scores are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_data import CLASSES, photograph

import clipcli
from clipcli.cli.calibrate import _said
from clipcli.scoring.calibration import Calibration, Quality

from .conftest import Run

LABELS = ",".join(name.replace("_", " ") for name in CLASSES)
BEFORE = Quality(ece=0.2194, ece_low=0.0, ece_high=0.292, top1=0.42, nll=1.8)
AFTER = Quality(ece=0.133, ece_low=0.0, ece_high=0.16, top1=0.5, nll=1.5)
FOUND = Calibration(temperature=1.444, biases=(0.9, 0.0, -1.25), images=50, labels=3, before=BEFORE, after=AFTER)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six classes of five images each, in the folder of the command."""
    return photograph(tmp_path / "tree", seed=0, images_per_class=5)


def said(found: Calibration) -> list[str]:
    classifier = clipcli.Classifier(
        class_embeddings=np.eye(3, dtype=np.float32),
        labels=("hat", "shoe", "shirt"),
        model="m",
        fingerprint="0",
        prompts="plain",
        precision="fp32",
        logit_scale=100.0,
        logit_bias=None,
        score="softmax",
    )
    return list(_said(replace(classifier, calibration=found)))


def test_biases_are_told_with_what_they_change() -> None:
    assert said(FOUND) == [
        "Chosen: a temperature of 1.44 and a bias for each label (1 has too few images for one), from -1.25 for"
        " 'shirt' to +0.90 for 'hat'; it fits images that it was not fitted to better than the scores as they are, by"
        " more than one standard error.",
        "Calibration error by cross-validation on 50 images of 3 labels: 21.9% [0.0, 29.2] before, 13.3% [0.0, 16.0]"
        " after.",
        "The biases change labels: 42.0% were right, 50.0% are. They hold where each label is about as frequent as it"
        " is in these images.",
    ]


def test_a_temperature_is_told() -> None:
    assert said(replace(FOUND, biases=None, labels=2)) == [
        "Chosen: a temperature of 1.44, which changes scores and no label; it fits images that it was not fitted to"
        " better than the scores as they are, by more than one standard error.",
        "Calibration error by cross-validation on 50 images of 2 of 3 labels: 21.9% [0.0, 29.2] before,"
        " 13.3% [0.0, 16.0] after.",
    ]


def test_doing_nothing_is_told() -> None:
    assert said(replace(FOUND, temperature=1.0, biases=None, after=BEFORE)) == [
        "Doing nothing is best: no temperature, and no bias for each label, fits images that it was not fitted to"
        " better than the scores as they are, by more than one standard error.",
        "Calibration error on 50 images of 3 labels: 21.9% [0.0, 29.2].",
    ]


def test_an_unknown_threshold_is_told() -> None:
    line = "Unknown from a score of 0.61 on, by 1 image of none of the labels: classify --unknown takes it."
    assert line in said(replace(FOUND, unknown_at=0.612, nones=1))


@pytest.mark.usefixtures("tree")
def test_a_classifier_is_calibrated_and_used(run: Run, model: str) -> None:
    built = run("build-classifier", "--labels", LABELS, "--model", model)
    assert ", not calibrated.\n" in built.err
    done = run("calibrate", "tree", "--classifier", "classes.safetensors")
    assert (done.code, done.out) == (0, "")
    assert "on 30 images of 6 labels: " in done.err
    end = "calibrated.safetensors: use it with clipcli classify PHOTOS --classifier calibrated.safetensors\n"
    assert done.err.endswith(end)
    found = clipcli.Classifier.load("calibrated.safetensors").calibration
    assert found is not None
    assert found.images == 30
    classified = run("classify", "tree", "--classifier", "calibrated.safetensors", "-o", "a.csv")
    assert f"The classifier is calibrated: {found.in_words()}.\n" in classified.err
    assert json.loads(Path("a.csv.json").read_text())["provenance"]["scores"] == f"calibrated: {found.in_words()}"
    evaluated = run("evaluate", "tree", "--classifier", "calibrated.safetensors", "-o", "out")
    assert f"Scores calibrated ({found.in_words()}).\n" in evaluated.err
    assert json.loads(Path("out/metrics.json").read_text())["calibrated"] == found.in_words()
    assert f"scores calibrated ({found.in_words()})" in Path("out/report.html").read_text()


@pytest.mark.usefixtures("tree")
def test_several_labels_are_calibrated_and_used(run: Run, model: str) -> None:
    paths = sorted(Path("tree").rglob("*.png"))
    rows = [f"{path},{path.parent.name};cat" for path in paths]
    Path("several.csv").write_text("\n".join(["path,labels", *rows]) + "\n")
    options = ("--labels", LABELS, "--model", model, "--prompts", "plain")
    done = run("calibrate", "several.csv", *options, "--multi-label")
    assert (done.code, done.out) == (0, "")
    found = clipcli.Classifier.load("calibrated.safetensors").several
    assert found is not None
    chosen, quality, end = done.err.splitlines()[-3:]
    assert chosen == (
        f"Chosen: a bias for each label, and a threshold of {found.threshold:.2f}; scores are now probabilities."
    )
    assert quality == (
        f"F1 (micro) by cross-validation on 30 images: {found.before:.1%} before, {found.after:.1%} after."
    )
    assert end.endswith("classify PHOTOS --classifier calibrated.safetensors --multi-label")
    classified = run("classify", "tree", "--classifier", "calibrated.safetensors", "--multi-label", "-o", "a.csv")
    assert f"The classifier is calibrated for several labels: {found.in_words()}.\n" in classified.err


@pytest.mark.usefixtures("tree")
def test_without_calibration_nothing_says_so_but_evaluate(run: Run, model: str) -> None:
    classified = run("classify", "tree", "--labels", LABELS, "--model", model, "-o", "a.csv")
    assert "alibrat" not in classified.err
    assert '"scores"' not in Path("a.csv.json").read_text()
    evaluated = run("evaluate", "tree", "--model", model, "-o", "out")
    assert "\nScores not calibrated.\n" in evaluated.err
    assert "calibrated" not in json.loads(Path("out/metrics.json").read_text())


@pytest.mark.usefixtures("tree")
def test_cosines_are_not_said_to_be_calibrated(run: Run, model: str) -> None:
    run("calibrate", "tree", "--labels", LABELS, "--model", model)
    done = run("classify", "tree", "--classifier", "calibrated.safetensors", "--score", "cosine", "-o", "a.csv")
    assert (
        "the classifier is calibrated for softmax alone; scores of another kind are as the model gives them" in done.err
    )
    assert "The classifier is" not in done.err
    assert "calibration" not in Path("a.csv.json").read_text()


@pytest.mark.usefixtures("tree")
def test_a_run_goes_on_with_the_same_calibration(run: Run, model: str) -> None:
    run("calibrate", "tree", "--labels", LABELS, "--model", model)
    given = ("classify", "tree", "--classifier", "calibrated.safetensors", "-o", "a.csv")
    assert run(*given).code == 0
    again = run(*given, "--resume")
    assert (again.code, "complete, an earlier run had labelled all 30 images" in again.err) == (0, True)
    run("build-classifier", "--labels", LABELS, "--model", model, "-o", "calibrated.safetensors", "--overwrite")
    other = run(*given, "--resume")
    assert (other.code, "--classifier was another, of the same labels" in other.err) == (2, True)


def test_images_that_cannot_be_read_are_listed(run: Run, tree: Path, model: str) -> None:
    (tree / "cat" / "bad.jpg").write_text("no image")
    done = run("calibrate", "tree", "--labels", LABELS, "--model", model)
    assert done.code == 3
    assert "1 image left out: tree/cat/bad.jpg: not an image\n" in done.err
    assert "on 30 images of 6 labels: " in done.err


@pytest.mark.parametrize("output", ["labels.txt", "data.csv", "classes.safetensors", "-"])
def test_nothing_that_is_read_is_written_over(run: Run, tree: Path, model: str, output: str) -> None:
    Path("labels.txt").write_text(LABELS.replace(",", "\n"))
    Path("data.csv").write_text("path,label\n" + "".join(f"{path},cat\n" for path in tree.rglob("*.png")))
    run("build-classifier", "--labels", LABELS, "--model", model)
    before = {path: path.read_bytes() for path in Path().glob("*.*")}
    source = ("--classifier", "classes.safetensors") if "classes" in output else ("--labels", "labels.txt")
    done = run("calibrate", "data.csv", *source, "--model", model, "-o", output, "--overwrite")
    expected = "cannot go to standard output" if output == "-" else "is read by this command, and would be written over"
    assert (done.code, expected in done.err) == (2, True)
    assert {path: path.read_bytes() for path in Path().glob("*.*")} == before


def test_without_data_it_says_what_is_missing(run: Run) -> None:
    done = run("calibrate")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("clipcli: no DATA was given; give a folder per class, a .csv of images and labels")
