"""The report of an evaluation with many classes, images that are gone, and more mistakes than there is room for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcli.commands.evaluate.classification import evaluate_run, log_softmax, predictions_from
from clipcli.commands.evaluate.output import check_folder, write_files
from clipcli.commands.evaluate.report import write_report
from clipcli.commands.evaluate.results import EvaluatedImages, Evaluation
from clipcli.records import ImageItem, Reference, Skipped

CLASSES, IMAGES = 60, 300


# An image that was there when it was labelled.
GONE = Reference("file", "/nowhere/gone.png")


def photo() -> bytes:
    """A photo larger than its thumbnail."""
    stream = io.BytesIO()
    Image.new("RGB", (500, 300), (10, 200, 90)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Sixty classes, of which the last has no images, and every tenth image gone."""
    rng = np.random.default_rng(0)
    truth = rng.integers(CLASSES - 1, size=IMAGES)
    logits = rng.normal(size=(IMAGES, CLASSES))
    logits[np.arange(IMAGES), truth] += 1
    logarithms = log_softmax(logits)
    predictions = predictions_from(
        ranking=logits, scores=np.exp(logarithms).astype(np.float32), log_probabilities=logarithms, truth=truth
    )
    labels = tuple(f"class {n}" for n in range(CLASSES))
    items = [
        ImageItem(f"photos/{n}.png", Reference("bytes", member=photo()) if n % 10 else GONE) for n in range(IMAGES)
    ]
    images = EvaluatedImages(
        name="photos",
        entries=(Skipped(ImageItem("photos/bad \udcff.png", GONE), "not an image"), *items),
        class_names=(None, *(labels[n] for n in truth)),
        truth=truth,
        keys=tuple(f"{n}" for n in range(IMAGES)),
        embeddings=(),
    )
    return Evaluation(
        "classification",
        labels,
        (evaluate_run(images, predictions, labels=labels, model="m", fingerprint="f", prompts="p"),),
        "cpu",
        "fp32",
    )


def test_many_classes_have_a_table_of_what_is_confused(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write_report(tmp_path, evaluation).read_text(encoding="utf-8")
    assert "Most confused" in page
    assert "<h2>Confusion</h2>" not in page
    assert "photos · m" in page
    assert 0 < page.count("data:image/jpeg") <= 24
    assert "not an image" in page
    assert len(page) < 400_000


def test_the_files_of_odd_names(evaluation: Evaluation, tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "folder", overwrite=False)
    assert not (tmp_path / "new").exists()
    write_files(tmp_path / "new" / "folder", evaluation)
    assert b"photos/bad \xff.png,,," in (tmp_path / "new" / "folder" / "predictions.csv").read_bytes()
    assert len((tmp_path / "new" / "folder" / "confusion.csv").read_text().splitlines()) == CLASSES + 1
