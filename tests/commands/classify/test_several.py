"""`classify --multi-label`: every label over its threshold, or none; what is refused; and that it is read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clipcli
from clipcli.classes.vocabulary import vocabulary
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.errors import UsageError
from clipcli.events import Noted, RowsReady
from clipcli.scoring.competitors import competitors
from clipcli.scoring.several import several_scores

LABELS = ["cat", "dog", "beach", "a; b"]
PLAIN: dict[str, Any] = {"labels": LABELS, "prompts": "plain", "precision": "fp32"}


@pytest.fixture
def expected(photos: Path, model: str) -> np.ndarray:
    """The scores of all labels on all photos, from the embeddings."""
    loaded = clipcli.load(model, precision="fp32")
    classifier = clipcli.build_classifier(LABELS, model=model, prompts="plain", precision="fp32")
    words = clipcli.build_classifier(vocabulary(), model=model, prompts="plain", precision="fp32").class_embeddings
    beside = competitors(vocabulary(), words, names=LABELS, class_embeddings=classifier.class_embeddings)
    return several_scores(loaded.embed_images(photos), replace(classifier, vocabulary=words[beside]))


def test_each_image_has_the_labels_over_the_threshold(photos: Path, model: str, expected: np.ndarray) -> None:
    at = float(np.median(expected))
    rows = list(clipcli.classify(photos, model=model, multi_label=True, multi_label_at=at, wide=True, **PLAIN))
    np.testing.assert_allclose([row.all_scores for row in rows], expected, atol=1e-5)
    for row, scores in zip(rows, expected, strict=True):
        over = {label for label, score in zip(LABELS, scores, strict=True) if score >= at}
        assert set(row.labels) == over
        assert list(row.scores) == sorted(row.scores, reverse=True)
    assert 0 < sum(len(row.labels) for row in rows) < expected.size


def test_the_threshold_is_one_half_by_default(photos: Path, model: str, expected: np.ndarray) -> None:
    rows = list(clipcli.classify(photos, model=model, multi_label=True, **PLAIN))
    assert [len(row.labels) for row in rows] == (expected >= 0.5).sum(axis=1).tolist()
    assert all(row.error is None and row.all_scores == () for row in rows)
    none = list(clipcli.classify(photos, model=model, multi_label=True, multi_label_at=1, **PLAIN))
    assert [(row.labels, row.scores, row.error) for row in none] == [((), (), None)] * 6


def test_a_loaded_model_and_a_classifier_give_the_same_rows(photos: Path, model: str) -> None:
    options = {"multi_label": True, "multi_label_at": 0.015}
    rows = list(clipcli.classify(photos, model=model, **options, **PLAIN))
    loaded = clipcli.load(model, precision="fp32")
    assert list(loaded.classify(photos, labels=LABELS, prompts="plain", **options)) == rows
    classifier = clipcli.build_classifier(LABELS, model=model, prompts="plain", precision="fp32")
    assert list(clipcli.classify(photos, classifier=classifier, precision="fp32", **options)) == rows


def test_a_classifier_whose_prompts_are_gone_is_said_to_have_other_nouns(photos: Path, model: str) -> None:
    classifier = clipcli.build_classifier(LABELS, model=model, prompts="plain", precision="fp32")
    lost = replace(classifier, prompts="mine.yaml")
    settings = ClassifySettings(inputs=(str(photos / "a.jpg"),), classifier=lost, precision="fp32", multi_label=True)
    events = list(run(settings))
    [said] = [event.message for event in events if isinstance(event, Noted) and "mine.yaml" in event.message]
    assert said.startswith("the classifier's prompts, mine.yaml, are not here")
    assert sum(len(event.rows) for event in events if isinstance(event, RowsReady)) == 1


def test_a_label_that_holds_the_mark_is_counted_and_said(photos: Path, model: str) -> None:
    settings = ClassifySettings(inputs=(str(photos),), model=model, multi_label=True, **PLAIN)
    notes = [event.message for event in run(settings) if isinstance(event, Noted)]
    assert any(note.startswith("1 label holds ';', a; b: in CSV, where ';' stands between") for note in notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi_label": True, "top_k": 2}, "top_k=2 gives each image as many labels, and multi_label=True as many as"),
        ({"multi_label": True, "score": "cosine"}, "score='cosine' has no threshold that fits all labels"),
        ({"wide": True}, "wide=True is for several labels an image; give multi_label=True as well"),
        ({"multi_label_at": 0.7}, "multi_label_at is for several labels an image; give multi_label=True as well"),
        ({"multi_label": True, "multi_label_at": 1.5}, "multi_label_at=1.5 does not fit"),
    ],
)
def test_settings_that_do_not_fit_are_refused(photos: Path, model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clipcli.classify(photos, model=model, **options, **PLAIN)


def test_labels_with_one_column_are_refused_before_any_work(photos: Path) -> None:
    with pytest.raises(UsageError, match="both have the column label_error"):
        clipcli.classify(photos, model="nowhere", labels=["error", "label_error"], multi_label=True, wide=True)


def test_frames_of_several_labels(photos: Path, model: str, expected: np.ndarray) -> None:
    rows = list(clipcli.classify(photos, model=model, multi_label=True, multi_label_at=0.015, wide=True, **PLAIN))
    with pytest.raises(UsageError, match="give schema=Schema"):
        clipcli.to_frame(rows)
    wide = clipcli.to_frame(rows, schema=clipcli.Schema(several=True, wide=tuple(LABELS)))
    assert list(wide.columns) == ["path", "labels", *LABELS, "error"]
    np.testing.assert_allclose(wide[LABELS].to_numpy(), expected, rtol=1e-4)
    lists = clipcli.to_frame(rows, schema=clipcli.Schema(several=True))
    assert list(lists.labels) == [list(row.labels) for row in rows]
    assert isinstance(lists, pd.DataFrame)
