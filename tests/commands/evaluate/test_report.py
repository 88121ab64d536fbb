"""The report of an evaluation with many classes, images that are gone, and more mistakes than there is room for."""

from __future__ import annotations

import copy
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcli.commands.evaluate.classification import evaluate_run, log_softmax, predictions_from
from clipcli.commands.evaluate.mistakes import pairs_of_mistakes, verdict
from clipcli.commands.evaluate.output import check_folder, write_files
from clipcli.commands.evaluate.report import write_report
from clipcli.commands.evaluate.results import (
    RETRIEVAL_METRICS,
    Difference,
    EvaluatedImages,
    Evaluation,
    RetrievalRun,
    Run,
)
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.limits import Limits
from clipcli.records import ImageItem, Reference, Skipped
from clipcli.scoring.intervals import Estimate

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
    page = write_report(tmp_path, evaluation, limits=DEFAULT_LIMITS).read_text(encoding="utf-8")
    assert "Most confused" in page
    assert "Neighbours may share a cell" in page
    assert "among 60 classes" in page
    assert "photos · m" in page
    assert 0 < page.count("data:image/jpeg") <= 72
    assert "not an image" in page
    assert len(page) < 400_000


def test_the_result_is_said_in_two_sentences(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation = copy.deepcopy(evaluation)
    run = evaluation.runs[0]
    assert isinstance(run, Run)
    # Without the addition several pairs are the most frequent, and none of them is named.
    assert len(verdict(run, evaluation.labels)) == 1
    assert sum(number for *_, number in pairs_of_mistakes(run)) == IMAGES - int(run.predictions.correct.sum())
    (truth, label, count), *_ = pairs_of_mistakes(run)
    run.confusion[truth, label] += 1
    right, count = int(run.predictions.correct.sum()), count + 1
    said = verdict(run, evaluation.labels)
    assert said == [f"{right} of 300 right.", f"Most often class {truth} is taken for class {label} ({count})."]
    assert count == max(run.confusion[t, p] for t in range(CLASSES) for p in range(CLASSES) if t != p)
    labels = [f"{label} shorts" for label in evaluation.labels]
    assert "shorts are taken for" in verdict(run, labels)[1]
    page = write_report(tmp_path, evaluation, limits=DEFAULT_LIMITS).read_text(encoding="utf-8")
    assert page.index(said[0]) < page.index(said[1]) < page.index('class="numbers"')
    assert f"<h3>class {truth} taken for class {label}<small>{count} of {run.confusion[truth].sum()}</small>" in page
    assert re.search(rf"said class {label}, \d+%; is class {truth}<small>\d+\.png", page)


def test_the_classes_come_worst_first_and_those_without_images_last(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write_report(tmp_path, evaluation, limits=DEFAULT_LIMITS).read_text(encoding="utf-8")
    table = page[page.index("<h2>Classes, the worst first</h2>") :].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)", row) for row in re.findall(r"<tr>.*?</tr>", table)[1:]]
    supports = [int(row[4]) for row in rows]
    with_images = len(rows) - supports.count(0)
    assert set(supports[with_images:]) == {0}
    recalls = [float(row[1].removesuffix("%")) for row in rows[:with_images]]
    assert recalls == sorted(recalls)
    assert f'<span style="width: {recalls[-1]}%">' in table


def retrieval(ranks: list[int]) -> RetrievalRun:
    """A run on as many photos, the own captions of which have these ranks."""
    items = tuple(ImageItem(f"{n}.png", Reference("bytes", member=photo())) for n in range(len(ranks)))
    nearest, own = (tuple(f"{what} {n}" for n in range(len(ranks))) for what in ("near", "own"))
    metrics = dict.fromkeys(RETRIEVAL_METRICS, Estimate(0.5, 0.4, 0.6, np.zeros(3)))
    scores = np.zeros(len(ranks), np.float32)
    return RetrievalRun("d", "m", "f", items, 40, nearest, own, scores, np.array(ranks), metrics)


def test_images_that_find_their_captions_are_no_mistakes(tmp_path: Path) -> None:
    evaluation = Evaluation("retrieval", (), (retrieval([1, 7, 1, 30]),), "cpu", "fp32")
    page = write_report(tmp_path, evaluation, limits=DEFAULT_LIMITS).read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(.*?)<small>", page)
    assert captions == ["Nearest: “near 3”. Its own, rank 30: “own 3”.", "Nearest: “near 1”. Its own, rank 7: “own 1”."]
    assert "<p>2 of 4 images are nearest to one of their own captions.</p>" in page
    assert "<p>Of the farthest image the own caption has rank 30 of 40.</p>" in page
    (tmp_path / "right").mkdir()
    evaluation = Evaluation("retrieval", (), (retrieval([1, 1]),), "cpu", "fp32")
    assert "figcaption>" not in write_report(tmp_path / "right", evaluation, limits=DEFAULT_LIMITS).read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("metric", "low", "high", "verdict"),
    [
        ("top1", 0.01, 0.05, "better"),
        ("top1", -0.05, -0.01, "worse"),
        ("top1", -0.05, 0.01, "may be chance"),
        ("ece", 0.01, 0.05, "worse"),
        ("nll", -0.05, -0.01, "better"),
    ],
)
def test_a_difference_has_a_verdict_in_words(
    evaluation: Evaluation, tmp_path: Path, metric: str, low: float, high: float, verdict: str
) -> None:
    estimate = Estimate((low + high) / 2, low, high, np.zeros(3))
    difference = Difference(metric, "b", "a", estimate, True, 9, 9)
    page = write_report(tmp_path, replace(evaluation, differences=(difference,)), limits=DEFAULT_LIMITS).read_text(
        encoding="utf-8"
    )
    assert f"<td>{verdict}</td>" in page
    words = {"better": "b is better than a: top-1", "worse": "b is worse than a: top-1"}
    sentence = words.get(verdict, "b cannot be told from a: top-1")
    assert (sentence in page, "<h2>Differences of the main figures</h2>" in page) == ((metric == "top1",) * 2)


def test_thumbnails_are_made_within_the_limits(tmp_path: Path) -> None:
    evaluation = Evaluation("retrieval", (), (retrieval([7]),), "cpu", "fp32")
    page = write_report(tmp_path, evaluation, limits=Limits(max_pixels=500 * 300)).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 1
    page = write_report(tmp_path, evaluation, limits=Limits(max_pixels=500 * 300 - 1)).read_text(encoding="utf-8")
    assert "data:image/jpeg" not in page


def test_the_files_of_odd_names(evaluation: Evaluation, tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "folder", overwrite=False)
    assert not (tmp_path / "new").exists()
    write_files(tmp_path / "new" / "folder", evaluation)
    assert b"photos/bad \xff.png,,," in (tmp_path / "new" / "folder" / "predictions.csv").read_bytes()
    assert len((tmp_path / "new" / "folder" / "confusion.csv").read_text().splitlines()) == CLASSES + 1
