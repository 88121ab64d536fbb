"""`evaluate --multi-label`: its metrics are scikit-learn's, and its files and its page say what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score

import clipcli
from clipcli.classes.joined import join_labels, split_labels
from clipcli.commands.evaluate.several_metrics import (
    estimate_several,
    macro_f1,
    mean_average_precision,
    metrics_of_labels,
    micro_f1,
)
from clipcli.errors import BadFile, UsageError

LABELS = ("cat", "dog", "beach", "cow")
SETTINGS: dict[str, Any] = {"prompts": "plain", "precision": "fp32", "multi_label": True, "multi_label_at": 0.015}
TRUTH = (("cat", "dog"), ("dog",), (), ("beach", "cat"), ("dog", "beach"), ("cow",))


@pytest.fixture
def table(photos: Path, tmp_path: Path) -> Path:
    """A table of the photos with their labels, and one that is no image."""
    (photos / "bad.jpg").write_text("no image")
    paths = sorted(path for path in photos.rglob("*") if path.is_file() and path.name != "bad.jpg")
    rows = [(str(path), join_labels(labels)) for path, labels in zip(paths, TRUTH, strict=True)]
    frame = pd.DataFrame([*rows, (str(photos / "bad.jpg"), "cat")], columns=["path", "labels"])
    frame.to_csv(tmp_path / "truth.csv", index=False)
    return tmp_path / "truth.csv"


def _made(images: int = 60, labels: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, true labels and labels given; the last label is that of no image."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, (images, labels)).astype(np.float32) / 12
    truth = scores + rng.normal(size=scores.shape) > 1
    truth[:, -1] = False
    return scores, truth, scores >= 0.75


def test_the_metrics_are_scikit_learns() -> None:
    scores, truth, given = _made()
    found = estimate_several(scores, truth, given, keys=[f"{n % 7}-{n}" for n in range(len(scores))])
    known = slice(0, -1)
    assert found["map"] is not None
    assert found["map"].value == pytest.approx(average_precision_score(truth[:, known], scores[:, known]))
    assert found["map"].low < found["map"].value < found["map"].high
    assert found["f1_micro"] is not None
    assert found["f1_micro"].value == pytest.approx(f1_score(truth, given, average="micro"))
    assert found["f1_macro"] is not None
    assert found["f1_macro"].value == pytest.approx(f1_score(truth[:, known], given[:, known], average="macro"))


def test_the_metrics_of_a_draw_are_scikit_learns_of_the_drawn_images() -> None:
    scores, truth, given = _made(30, 4)
    drawn = np.random.default_rng(1).integers(30, size=30)
    weights = np.bincount(drawn, minlength=30)[None].astype(np.float64)
    known = truth[drawn].any(axis=0)
    assert mean_average_precision(scores, truth)(weights)[0] == pytest.approx(
        average_precision_score(truth[drawn][:, known], scores[drawn][:, known])
    )
    assert micro_f1(given, truth)(weights)[0] == pytest.approx(f1_score(truth[drawn], given[drawn], average="micro"))
    some = (truth | given)[drawn].any(axis=0)
    expected = f1_score(truth[drawn][:, some], given[drawn][:, some], average="macro", zero_division=0)
    assert macro_f1(given, truth)(weights)[0] == pytest.approx(expected)


def test_the_metrics_of_each_label() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.1], [0.7, 0.6]], np.float32)
    truth = np.array([[True, False], [False, False], [True, False]])
    cat, dog = metrics_of_labels(("cat", "dog"), scores, truth, scores >= 0.75)
    assert (cat.precision, cat.recall, cat.f1, cat.support, cat.given) == (0.5, 0.5, 0.5, 2, 2)
    assert cat.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert (dog.average_precision, dog.f1, dog.support, dog.given) == (None, 0.0, 0, 0)


def test_files_and_metrics_say_the_same(table: Path, model: str, tmp_path: Path) -> None:
    found = clipcli.evaluate(table, model=model, output=tmp_path / "out", **SETTINGS)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    frame = pd.read_csv(tmp_path / "out" / "predictions.csv", keep_default_na=False)
    assert list(frame.columns) == ["path", "truth", "labels", "scores", "error"]
    assert frame.error.tolist() == [""] * 6 + ["not an image"]
    frame = frame[:6]
    assert [set(split_labels(cell)) for cell in frame.truth] == [set(labels) for labels in TRUTH]
    names = metrics["labels"]
    assert sorted(names) == sorted(LABELS)
    truth, given = (
        np.array([[name in split_labels(cell) for name in names] for cell in frame[c]]) for c in ("truth", "labels")
    )
    assert metrics["f1_micro"] == pytest.approx(f1_score(truth, given, average="micro", zero_division=0))
    assert metrics["f1_macro"] == pytest.approx(f1_score(truth, given, average="macro", zero_division=0))
    assert (metrics["task"], metrics["n"], metrics["skipped"], metrics["threshold"]) == ("several labels", 6, 1, 0.015)
    assert metrics["labels_per_image"] == pytest.approx(8 / 6)
    assert metrics["given_per_image"] == pytest.approx(given.sum() / 6)
    assert found.metrics == {key: metrics[key] for key in ("map", "f1_micro", "f1_macro")}
    assert set(metrics["intervals"]) == {"map", "f1_micro", "f1_macro"}
    assert {one["label"]: one["support"] for one in metrics["per_class"]} == {"cat": 2, "dog": 3, "beach": 2, "cow": 1}
    assert not (tmp_path / "out" / "confusion.csv").exists()


def test_the_labels_given_are_those_of_classify(table: Path, model: str, tmp_path: Path) -> None:
    options = {**SETTINGS, "labels": list(LABELS), "model": model}
    clipcli.evaluate(table, output=tmp_path / "out", **options)
    frame = pd.read_csv(tmp_path / "out" / "predictions.csv", keep_default_na=False)
    rows = [row for row in clipcli.classify(table, **options) if row.error is None]
    assert [split_labels(cell) for cell in frame.labels[:6]] == [list(row.labels) for row in rows]


def test_an_output_of_classify_is_all_right(photos: Path, model: str, tmp_path: Path) -> None:
    options = {**SETTINGS, "labels": list(LABELS), "model": model}
    rows = list(clipcli.classify(photos, **options))
    schema = clipcli.Schema(several=True)
    frame = clipcli.to_frame(rows, schema=schema)
    frame.assign(labels=frame.labels.map(join_labels)).to_csv(tmp_path / "out.csv", index=False)
    found = clipcli.evaluate(tmp_path / "out.csv", allow_empty=True, **options)
    assert found.metrics["f1_micro"] == found.metrics["f1_macro"] == 1
    with pytest.raises(BadFile, match="several labels an image need multi_label=True"):
        clipcli.evaluate(tmp_path / "out.csv", labels=list(LABELS), model=model)


def test_the_page(table: Path, model: str, tmp_path: Path) -> None:
    found = clipcli.evaluate(table, model=model, output=tmp_path / "out", **SETTINGS)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    run: Any = found.runs[0]
    right = int((run.given & run.truth).sum())
    assert f"{right} of 8 labels found." in html
    given = int(run.given.sum())
    assert f"{given - right} of {given} given are wrong: {given / 6:.2f} labels an image, where 1.33 are true." in html
    assert "Mean average precision" in html
    assert "6 images with any of 4 labels, prompts plain; 1 more could not be used" in html
    [labels] = re.findall(r"<h2>Labels, the worst first</h2>.*?</table>", html, re.DOTALL)
    assert re.findall(r'<tr><td class="text">(.*?)</td>', labels) != []
    assert "Images with the most labels missed or wrong" in html
    assert "not an image" in html


def test_prompts_are_compared(table: Path, model: str) -> None:
    found = clipcli.evaluate(table, model=model, **{**SETTINGS, "prompts": ["plain", "name"]})
    assert [run.prompts for run in found.runs if not isinstance(run, str)] == ["plain", "name"]
    assert [(one.metric, one.run, one.base, one.paired) for one in found.differences] == [
        (metric, "name", "plain", True) for metric in ("map", "f1_micro", "f1_macro")
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"linear_probe": "train"}, "linear_probe is for one label an image; drop it, or multi_label"),
        ({"refine": True}, "refine=True is for one label an image"),
        ({"back_off": 0.5}, "back_off is for one label an image"),
        ({"shots": 4}, "shots is for one label an image"),
        ({"seeds": 2}, "seeds is for one label an image"),
        ({"unknown_folder": "others"}, "unknown_folder is for one label an image"),
        ({"taxonomy": "wordnet"}, "taxonomy is for one label an image"),
        (
            {"caption_column": "text"},
            "caption_column is for images with captions, and those of .* are taken with labels",
        ),
        ({"compare": "other.csv"}, "compare is for one label an image"),
        ({"classifier": "c.safetensors", "labels": list(LABELS)}, "both labels and a classifier"),
        ({"classifier": "c.safetensors", "prompts": "plain"}, "a classifier has its prompts in it"),
        ({"multi_label": False}, "multi_label_at is for several labels an image"),
    ],
)
def test_settings_that_do_not_fit_are_refused(table: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clipcli.evaluate(table, **{**SETTINGS, "model": "nowhere", **options})


def test_a_label_of_no_class_is_an_error(table: Path, model: str) -> None:
    with pytest.raises(BadFile, match="no label fits value 'cow'"):
        clipcli.evaluate(table, labels=["cat", "dog", "beach"], model=model, **SETTINGS)


def test_several_labels_are_nothing_to_compare_one_with(tmp_path: Path) -> None:
    from clipcli.commands.evaluate.comparison import read_other_labels

    (tmp_path / "out.csv").write_text("path,labels,scores,error\na.jpg,cat;dog,0.8;0.6,\n")
    with pytest.raises(BadFile, match="has several labels an image, and --compare is for one"):
        read_other_labels(str(tmp_path / "out.csv"))
