"""`evaluate --unknown-folder`: its figures are what scikit-learn makes of the scores, in files and on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import FP32, photograph

import clipcli
from clipcli.commands.evaluate.results import Run
from clipcli.commands.evaluate.unknown import unknown_statistics
from clipcli.scoring.intervals import bootstrap
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
    how: dict[str, Any] = {"unknown_folder": str(photos), "allow_empty": True}
    found = [
        clipcli.evaluate(tree, classifier=classifier, **how).runs[0]
        for classifier in (
            clipcli.build_classifier(["cat", "dog"], model=model, prompts="plain", vocabulary=vocabulary)
            for vocabulary in (False, True)
        )
    ]
    assert isinstance(found[0], Run)
    assert isinstance(found[1], Run)
    assert found[0].unknown is not None
    assert found[1].unknown is not None
    assert found[0].unknown.metrics["auroc"].value == found[1].unknown.metrics["auroc"].value
