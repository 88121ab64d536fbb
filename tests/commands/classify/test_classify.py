"""The pipeline from inputs to rows: one row for every input, whatever is among them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import clipcli
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.errors import ClipcliError, ClipcliWarning, InputNotFound, UsageError, WeightsMismatch
from clipcli.events import ClassesEncoded, InputsFound, Loading, ModelLoaded, RowsPlanned, RowsReady, TimeSpent, Warned

LABELS = ["cat", "dog", "beach"]


def test_a_batch_of_nothing_but_bad_images(photos: Path, model: str) -> None:
    for n in range(5):
        (photos / f"bad-{n}.jpg").write_text("no image")
    rows = list(clipcli.classify(photos, labels=LABELS, model=model, batch_size=2))
    assert [row.error for row in rows if Path(row.path).name.startswith("bad")] == ["not an image"] * 5
    assert sum(row.error is None for row in rows) == 6


def test_nothing_but_bad_images(tmp_path: Path, model: str) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    rows = list(clipcli.classify(tmp_path, labels=LABELS, model=model))
    assert [(row.labels, row.scores, row.error) for row in rows] == [((), (), "not an image")]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_batch_size_and_threads_do_not_matter(photos: Path, model: str, batch_size: int) -> None:
    options = {"labels": LABELS, "model": model, "precision": "fp32", "top_k": 3, "cache": False}
    expected = list(clipcli.classify(photos, **options))
    rows = list(clipcli.classify(photos, batch_size=batch_size, workers=3, **options))
    assert [(row.path, row.labels) for row in rows] == [(row.path, row.labels) for row in expected]
    np.testing.assert_allclose([row.scores for row in rows], [row.scores for row in expected], atol=1e-6)


def test_an_image_given_twice_gets_two_rows(photos: Path, model: str) -> None:
    rows = list(clipcli.classify([photos / "a.jpg", photos / "b.png", photos / "a.jpg"], labels=LABELS, model=model))
    assert [Path(row.path).name for row in rows] == ["a.jpg", "b.png", "a.jpg"]
    assert rows[0] == rows[2]


def test_softmax_scores_of_all_classes_add_up_to_one(photos: Path, model: str) -> None:
    for row in clipcli.classify(photos, labels=LABELS, model=model, top_k=3):
        assert sum(row.scores) == pytest.approx(1, abs=1e-5)
        assert list(row.scores) == sorted(row.scores, reverse=True)


def test_a_classifier_gives_the_rows_of_its_labels(photos: Path, model: str, tmp_path: Path) -> None:
    expected = list(clipcli.classify(photos, labels=LABELS, model=model))
    classifier = clipcli.build_classifier(LABELS, model=model)
    classifier.save(tmp_path / "classes.safetensors")
    assert list(clipcli.classify(photos, classifier=classifier)) == expected
    assert list(clipcli.classify(photos, classifier=tmp_path / "classes.safetensors")) == expected


def test_a_classifier_is_refused_for_another_model(photos: Path, models: dict[str, Path]) -> None:
    classifier = clipcli.build_classifier(LABELS, model=str(models["vit"]))
    with pytest.raises(WeightsMismatch, match=r"was made with .*vit and not with"):
        list(clipcli.classify(photos, classifier=classifier, model=str(models["resnet"])))


def test_duplicate_labels_are_one_class_unless_they_are_kept(photos: Path, model: str) -> None:
    once = list(clipcli.classify(photos, labels=["crane", "cat"], model=model, top_k=2))
    labels = ["crane", "cat", "Crane ", "crane"]
    with pytest.warns(ClipcliWarning, match="1 label is given several times, 'crane' and 'Crane': made one class"):
        assert list(clipcli.classify(photos, labels=labels, model=model, top_k=2)) == once
    kept = list(clipcli.classify(photos, labels=labels[:2] + labels[3:], model=model, top_k=3, keep_duplicates=True))
    assert all(sorted(row.labels) == ["cat", "crane", "crane"] for row in kept)


def test_labels_may_be_a_text(photos: Path, model: str) -> None:
    expected = list(clipcli.classify(photos, labels=["cat", "dog", "a red car"], model=model))
    assert list(clipcli.classify(photos, labels="cat, dog, a red car", model=model)) == expected


def test_standard_input_is_labels_or_images(model: str) -> None:
    with pytest.raises(UsageError, match="standard input is either the labels or a list of images"):
        list(clipcli.classify("-", labels="-", model=model))


def test_a_list_on_stdin(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos}/d.jpg\n{photos}/nowhere.jpg\n{photos}/a.jpg\n"))
    rows = list(clipcli.classify("-", labels=LABELS, model=model))
    assert [(Path(row.path).name, row.error) for row in rows] == [
        ("d.jpg", None),
        ("nowhere.jpg", "no such file"),
        ("a.jpg", None),
    ]


def test_events_in_order(photos: Path, model: str) -> None:
    events = list(
        run(ClassifySettings(inputs=(str(photos),), labels=["cat", "cat"], model=model, keep_duplicates=True))
    )
    kinds = list(dict.fromkeys(type(event) for event in events))
    assert kinds == [Warned, InputsFound, RowsPlanned, Loading, ModelLoaded, ClassesEncoded, RowsReady, TimeSpent]
    spent = events[-1]
    assert isinstance(spent, TimeSpent)
    assert spent.total > spent.encode > 0
    assert spent.decode > 0
    assert min(spent.load, spent.labels) > 0
    assert spent.in_turn["other"] >= 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, UsageError, "neither labels nor a classifier"),
        ({"labels": LABELS, "classifier": "c.safetensors"}, UsageError, "both labels and a classifier were"),
        ({"classifier": "c.safetensors", "prompts": "pets"}, UsageError, "a classifier has its prompts in it"),
        ({"labels": LABELS, "workers": 0}, UsageError, "workers=0 does not fit; give 1 or more"),
        ({"labels": LABELS, "batch_size": -1}, UsageError, "batch_size=-1 does not fit; give 1 or more"),
        ({"labels": ["cat", 3]}, UsageError, "label 2: a label is text, not int"),
        ({"labels": LABELS, "top_k": 4}, UsageError, "^top_k=4 does not fit 3 classes"),
        ({"labels": LABELS, "score": "sigmoid"}, UsageError, "no logit bias"),
        ({"labels": LABELS, "score": "probability"}, UsageError, "unknown score"),
        ({"labels": LABELS, "device": "tpu"}, UsageError, "unknown device"),
        ({"classifier": "nowhere.safetensors"}, InputNotFound, "no classifier file"),
    ],
)
def test_wrong_usage(photos: Path, model: str, options: dict, error: type[ClipcliError], message: str) -> None:
    with pytest.raises(error, match=message):
        list(clipcli.classify(photos, model=model, **options))


def test_a_model_that_gives_no_numbers_says_so(photos: Path, models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(models["vit"] / "open_clip_model.safetensors")
    state["visual.proj"] *= float("inf")
    save_file(state, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_bytes((models["vit"] / "open_clip_config.json").read_bytes())
    with pytest.raises(ClipcliError, match=r"gives no numbers for .*a\.jpg"):
        list(clipcli.classify(photos, labels=LABELS, model=str(tmp_path), precision="fp32"))
