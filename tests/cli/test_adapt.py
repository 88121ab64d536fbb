"""`clipcli adapt`: a file for `--classifier`, and in words what was learned, and whether it is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_data import CLASSES, photograph

import clipcli
from clipcli.cli.adapt import _doubt, _said
from clipcli.scoring.adaptation import Accuracy, Adaptation

from .conftest import Run

LABELS = ",".join(name.replace("_", " ") for name in CLASSES)
BETTER = Accuracy(before=0.367, after=0.65, gain=0.283, low=0.15, high=0.433)
LEARNED = Adaptation(
    images=60, nones=8, by_class={"hat": 40, "shoe": 20}, digest="d", text_trust=1, accuracy=BETTER, unknown_at=0.512
)
CLASSIFIER = clipcli.Classifier(
    np.eye(3, dtype=np.float32), ("hat", "shoe", "shirt"), "m", "0", "plain", "fp32", 100.0, None, "softmax"
)


@pytest.fixture
def corrections(tmp_path: Path) -> Path:
    """Corrections of six classes of five images each, in the folder of the command."""
    tree = photograph(tmp_path / "tree", seed=0, images_per_class=5)
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name.replace('_', ' ')}," for path in sorted(tree.rglob("*.png"))
    ]
    table = tmp_path / "corrections.csv"
    table.write_text("\n".join(["path,label,reviewed_at", *(f"{row}2026-01-02T03:04:05Z" for row in rows)]) + "\n")
    return table


def test_what_was_learned_is_told() -> None:
    assert list(_said(LEARNED, CLASSIFIER)) == [
        "Learned from 60 corrections of 2 of 3 labels ('shoe' has the fewest, 20); the other 1 keep their text.",
        "Right by cross-validation: 36.7% before, 65.0% after, +28.3 points [+15.0, +43.3]. This is of the corrected"
        " images: where those were the doubtful ones, more of all images are right.",
        "The whole interval is above 0, so the new classifier is recommended.",
        "Unknown from a score of 0.51 on, by 8 images of none of the labels: classify --unknown takes it.",
    ]
    assert _doubt(LEARNED) is None


def test_what_images_without_labels_told_is_said() -> None:
    told = list(_said(replace(LEARNED, accuracy=None, text_trust=0.5), CLASSIFIER))
    assert told[1] == (
        "By the images without labels, corrections label better than the text does, so that it counts for less."
    )
    assert len(list(_said(replace(LEARNED, accuracy=None, text_trust=1.0), CLASSIFIER))) == 2


def test_it_is_recommended_only_where_it_is_better() -> None:
    unsure = replace(LEARNED, accuracy=replace(BETTER, low=0.0))
    assert not any("recommended" in line for line in _said(unsure, CLASSIFIER))
    assert "not sure that the new classifier is better" in (_doubt(unsure) or "")
    assert "too few corrections to tell" in (_doubt(replace(LEARNED, accuracy=None)) or "")
    assert _doubt(replace(LEARNED, images=0, by_class={}, accuracy=None)) is None


@pytest.mark.usefixtures("corrections")
def test_a_file_for_classify(run: Run, model: str, tmp_path: Path) -> None:
    done = run("adapt", "--corrections", "corrections.csv", "--labels", LABELS, "--model", model)
    assert done.code == 0
    assert done.out == ""
    assert "Learned from 30 corrections of 6 of 6 labels" in done.err
    assert "Right by cross-validation: " in done.err
    assert "use it with clipcli classify PHOTOS --classifier adapted.safetensors" in done.err
    assert run("classify", "tree", "--classifier", "adapted.safetensors").code == 0
    assert '"scores": "adapted to 30 corrections of 6 labels"' in (tmp_path / "predictions.csv.json").read_text()
    again = run("adapt", "--corrections", "corrections.csv", "--labels", LABELS, "--model", model)
    assert again.code == 2
    assert "adapted.safetensors exists" in again.err


def test_what_is_read_is_not_written_over(run: Run, corrections: Path) -> None:
    before = corrections.read_bytes()
    flags = ("--corrections", "corrections.csv", "--labels", LABELS, "--output", "corrections.csv", "--overwrite")
    done = run("adapt", *flags)
    assert done.code != 0
    assert corrections.read_bytes() == before


def test_files_of_several_persons(run: Run, corrections: Path) -> None:
    (corrections.parent / "b.csv").write_text(corrections.read_text())
    done = run("adapt", "--corrections", "corrections.csv", "b.csv", "--labels", LABELS, "--show-config")
    assert done.code == 0
    assert "- corrections.csv\n- b.csv" in done.out


def test_corrections_are_needed(run: Run) -> None:
    done = run("adapt", "--labels", LABELS)
    assert done.code == 2
    assert "no corrections were given; give --corrections FILE" in done.err
