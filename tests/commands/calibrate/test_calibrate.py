"""From labelled images to a calibrated classifier: what is used, what is left out and said, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from small_data import CLASSES, FP32, photograph

import clipcli
from clipcli.commands.calibrate import labelled_images
from clipcli.commands.calibrate.run import Calibrated, run
from clipcli.commands.calibrate.settings import CalibrateSettings
from clipcli.commands.evaluate.results import Run
from clipcli.errors import BadFile, ClipcliError, ClipcliWarning, UsageError, WeightsMismatch
from clipcli.events import Event, InputsFound, Noted, Warned, result_of
from clipcli.scoring.unknown import default_threshold, learned_threshold, unknown_scores

LABELS = [name.replace("_", " ") for name in CLASSES]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six classes of five images each."""
    return photograph(tmp_path / "tree", seed=0, images_per_class=5)


@pytest.fixture
def classifier(model: str) -> clipcli.Classifier:
    return clipcli.build_classifier(LABELS, model=model, prompts="plain", **FP32)


def told(data: Path | str, classifier: clipcli.Classifier, **options: object) -> tuple[Calibrated, list[Event]]:
    """The result, and what was said on the way."""
    events: list[Event] = []
    settings = CalibrateSettings(str(data), classifier=classifier, **{"engine": "torch", **FP32, **options})
    return result_of(run(settings), show=events.append), events


def warnings_of(events: Sequence[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def table_of(tree: Path, target: Path, *, count: int, label: str | None = None) -> Path:
    """A table of the first images of the tree, with their classes or all with one label."""
    paths = sorted(tree.rglob("*.png"))[:count]
    rows = [f"{path},{label or path.parent.name}" for path in paths]
    target.write_text("\n".join(["path,label", *rows]) + "\n")
    return target


def test_a_tree_calibrates_a_classifier(tree: Path, classifier: clipcli.Classifier) -> None:
    calibrated = clipcli.calibrate(tree, classifier=classifier, **FP32)
    found = calibrated.calibration
    assert found is not None
    assert (found.images, found.labels) == (30, 6)
    assert replace(calibrated, calibration=None).digest() == classifier.digest()
    assert classifier.calibration is None
    rows = list(clipcli.classify(tree, classifier=classifier, top_k=6, **FP32))
    truth = [Path(row.path).parent.name.replace("_", " ") for row in rows]
    loss = [
        -np.log(dict(zip(row.labels, row.scores, strict=True))[label]) for row, label in zip(rows, truth, strict=True)
    ]
    assert found.before.nll == pytest.approx(np.mean(loss), rel=1e-4)
    assert found.before.top1 == pytest.approx(np.mean([row.labels[0] == t for row, t in zip(rows, truth, strict=True)]))


def test_labels_are_built_into_the_same_classifier(tree: Path, classifier: clipcli.Classifier, model: str) -> None:
    by_labels = clipcli.calibrate(tree, labels=LABELS, model=model, prompts="plain", **FP32)
    by_classifier = clipcli.calibrate(tree, classifier=classifier, **FP32)
    assert by_labels.calibration == by_classifier.calibration
    assert by_labels.digest() == by_classifier.digest()


@pytest.mark.usefixtures("tree")
def test_a_corrected_output_of_classify_is_data(
    classifier: clipcli.Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = list(clipcli.classify("tree", classifier=classifier, **FP32))
    table = clipcli.to_frame(rows)
    table["label"] = [Path(path).parent.name.replace("_", " ") for path in table["path"]]
    table.to_csv("corrected.csv", index=False)
    by_output = clipcli.calibrate("corrected.csv", classifier=classifier, **FP32)
    assert by_output.calibration == clipcli.calibrate("tree", classifier=classifier, **FP32).calibration


def test_numbers_count_the_classes(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    table = table_of(tree, tmp_path / "names.csv", count=30)
    numbers = table.read_text()
    for n, name in enumerate(CLASSES):
        numbers = numbers.replace(f",{name}\n", f",{n}\n")
    (tmp_path / "numbers.csv").write_text(numbers)
    [by_names, by_numbers] = [told(tmp_path / name, classifier)[0] for name in ("names.csv", "numbers.csv")]
    assert by_names.classifier.calibration == by_numbers.classifier.calibration
    (tmp_path / "numbers.csv").write_text(numbers.replace(",5\n", ",6\n"))
    with pytest.raises(BadFile, match="class number 6 is too large for 6 labels; expected numbers from 0 to 5"):
        told(tmp_path / "numbers.csv", classifier)


def test_images_of_other_classes_are_counted_and_left_out(tree: Path, classifier: clipcli.Classifier) -> None:
    (tree / "yak").rename(tree / "zebra")
    calibrated, events = told(tree, classifier)
    assert calibrated.classifier.calibration is not None
    assert (calibrated.classifier.calibration.images, calibrated.classifier.calibration.labels) == (25, 5)
    [message] = warnings_of(events)
    assert message == (
        f"5 images have labels that are none of the classes, such as {tree}/zebra/0.png (5 zebra): left out"
    )
    assert InputsFound(25) in events


def test_labels_that_are_no_classes_are_refused(tree: Path, model: str) -> None:
    others = clipcli.build_classifier(["rose", "tulip"], model=model, prompts="plain")
    with pytest.raises(BadFile) as raised:
        told(tree, others)
    assert str(raised.value) == (
        f"{tree}: none of its labels is one of the classes: it has 'bear', 'cat', 'cow', 'dog', 'red_fox', 'yak', and"
        " the classes are 'rose', 'tulip'; give images of these classes"
    )


def test_fewer_than_twenty_images_are_refused(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    table = table_of(tree, tmp_path / "few.csv", count=19)
    with pytest.raises(UsageError) as raised:
        told(table, classifier)
    assert str(raised.value) == (
        f"{table}: 19 labelled images of these classes; calibration needs 20 or more, so label more images"
    )
    assert told(table_of(tree, tmp_path / "few.csv", count=20), classifier)[0].classifier.calibration is not None


def test_images_that_cannot_be_read_are_no_images(tree: Path, classifier: clipcli.Classifier) -> None:
    (tree / "cat" / "bad.png").write_text("no image")
    calibrated, _ = told(tree, classifier)
    assert calibrated.classifier.calibration == told(tree, classifier, exclude=["bad.png"])[0].classifier.calibration
    [skipped] = calibrated.skipped
    assert (Path(skipped.item.id).name, skipped.reason) == ("bad.png", "not an image")
    for path in sorted(tree.rglob("*.png"))[:12]:
        path.write_text("no image")
    with pytest.raises(UsageError, match="19 labelled images of these classes, and 12 that cannot be read, such as"):
        told(tree, classifier)


def test_images_without_a_label_are_skipped(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    table = table_of(tree, tmp_path / "some.csv", count=30)
    table.write_text(table.read_text() + f"{tree}/cat/0.png,\n")
    calibrated, _ = told(table, classifier)
    assert [(Path(one.item.id).name, one.reason) for one in calibrated.skipped] == [("0.png", "no label")]


def test_more_images_than_are_needed_are_drawn_from(
    tree: Path, classifier: clipcli.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelled_images, "MOST_IMAGES", 24)
    calibrated, events = told(tree, classifier)
    assert calibrated.classifier.calibration is not None
    assert calibrated.classifier.calibration.images == 24
    [note] = [event.message for event in events if isinstance(event, Noted)]
    assert note.startswith("6 labelled images are not needed, such as ")
    assert note.endswith("left out; 2,000 are enough, and they were drawn at random")
    assert told(tree, classifier)[0].classifier.digest() == calibrated.classifier.digest()


def test_one_label_alone_is_warned_about(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    _, events = told(table_of(tree, tmp_path / "cats.csv", count=25, label="cat"), classifier)
    warning = "all images have the label 'cat'; how true the scores of other labels are cannot be told"
    assert warning in warnings_of(events)


def test_labels_that_nobody_looked_at_are_warned_about(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    rows = list(clipcli.classify(tree, classifier=classifier, **FP32))
    (tmp_path / "own.csv").write_text("path,label\n" + "".join(f"{row.path},{row.labels[0]}\n" for row in rows))
    _, events = told(tmp_path / "own.csv", classifier)
    assert (
        "30 of 30 labels are what the classifier says itself; if nobody looked at those images, leave them out, or"
        " scores become too high"
    ) in warnings_of(events)


def test_an_image_with_two_labels_is_warned_about(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    table = table_of(tree, tmp_path / "twice.csv", count=30)
    table.write_text(table.read_text() + f"{tree}/bear/0.png,cat\n")
    calibrated, events = told(table, classifier)
    assert f"{table}: {tree}/bear/0.png has the labels 'bear', 'cat'; each counts as an image" in warnings_of(events)
    assert calibrated.classifier.calibration is not None
    assert calibrated.classifier.calibration.images == 31


def test_a_calibrated_classifier_is_calibrated_anew(tree: Path, classifier: clipcli.Classifier) -> None:
    once = clipcli.calibrate(tree, classifier=classifier, **FP32)
    twice, events = told(tree, once)
    assert twice.classifier.digest() == once.digest()
    note = "The classifier was calibrated before; this calibration takes the place of that one."
    assert Noted(note) in events


def test_a_model_with_sigmoids_gets_a_softmax(tree: Path, models: dict[str, Path]) -> None:
    siglip = clipcli.build_classifier(LABELS, model=str(models["sigmoid"]), prompts="plain", **FP32)
    calibrated, events = told(tree, siglip)
    assert any("are sigmoids; calibrated, they are a softmax over the labels" in str(event) for event in events)
    [row] = clipcli.classify(tree / "cat" / "0.png", classifier=calibrated.classifier, top_k=6, **FP32)
    assert sum(row.scores) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither labels nor a classifier was given"),
        ({"labels": "cat"}, "one label only, 'cat'; expected at least two"),
        ({"labels": "cat, dog", "classifier": "c.safetensors"}, "both labels and a classifier were given"),
        ({"classifier": "none.safetensors"}, "no classifier file none.safetensors"),
    ],
)
def test_what_is_given_is_checked(tree: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ClipcliError, match=message):
        clipcli.calibrate(tree, **options)


def test_a_table_of_several_labels_needs_to_be_called_so(tmp_path: Path) -> None:
    (tmp_path / "several.csv").write_text("path,labels,scores,error\na.jpg,cat;dog,0.8;0.6,\n")
    with pytest.raises(BadFile, match=r"no label column .*; several labels an image need multi_label=True"):
        clipcli.calibrate(tmp_path / "several.csv", labels="cat, dog")


def several_of(tree: Path, target: Path, *, other: str = "") -> Path:
    """A table in which each image has the label of its folder and a second; and two have none of the classes."""
    paths = sorted(tree.rglob("*.png"))
    rows = [f"{path},{path.parent.name};{LABELS[0]}" for path in paths[:-2]]
    target.write_text("\n".join(["path,labels", *rows, *(f"{path},{other}" for path in paths[-2:])]) + "\n")
    return target


def test_several_labels_are_calibrated_and_applied(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    table = several_of(tree, tmp_path / "several.csv")
    calibrated = clipcli.calibrate(table, classifier=classifier, multi_label=True, **FP32)
    found = calibrated.several
    assert found is not None
    assert found.images == 30
    # A label that nearly all images have is given to all.
    assert found.own_biases
    assert found.after > found.before
    assert calibrated.calibration is None
    rows = list(clipcli.classify(tree, classifier=calibrated, multi_label=True, wide=True, **FP32))
    assert all(LABELS[0] in row.labels for row in rows)
    assert all(
        (score >= found.threshold) == (label in row.labels)
        for row in rows
        for label, score in zip(LABELS, row.all_scores, strict=True)
    )
    report = clipcli.evaluate(table, classifier=calibrated, multi_label=True, **FP32)
    assert report.runs[0].threshold == found.threshold


def test_other_labels_of_images_are_counted_and_left_out(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    table = several_of(tree, tmp_path / "several.csv", other="spoon;fork")
    calibrated, events = told(table, classifier, multi_label=True)
    assert calibrated.classifier.several is not None
    assert calibrated.classifier.several.images == 30
    [warning] = warnings_of(events)
    assert warning.startswith("4 labels of images are none of the classes")


def test_several_labels_do_not_go_with_a_calibration_for_one(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    calibrated = clipcli.calibrate(tree, classifier=classifier, **FP32)
    table = several_of(tree, tmp_path / "several.csv")
    with pytest.raises(UsageError, match="the classifier is calibrated, and several labels are scored by the plain"):
        clipcli.calibrate(table, classifier=calibrated, multi_label=True, **FP32)


def test_the_model_must_be_that_of_the_classifier(
    tree: Path, classifier: clipcli.Classifier, models: dict[str, Path]
) -> None:
    with pytest.raises(WeightsMismatch, match="the classifier was made with"):
        told(tree, classifier, model=str(models["resnet"]))


def shifted(classifier: clipcli.Classifier, tree: Path) -> clipcli.Classifier:
    """The classifier with a calibration that brings the last class to the front."""
    found = clipcli.calibrate(tree, classifier=classifier, **FP32).calibration
    assert found is not None
    return replace(classifier, calibration=replace(found, temperature=2.0, biases=(0.0, 0.0, 0.0, 0.0, 0.0, 50.0)))


def test_classify_applies_it(tree: Path, classifier: clipcli.Classifier) -> None:
    calibrated = shifted(classifier, tree)
    assert {row.labels[0] for row in clipcli.classify(tree, classifier=calibrated, **FP32)} == {"yak"}
    cosines = [row.scores for row in clipcli.classify(tree, classifier=classifier, top_k=6, score="cosine", **FP32)]
    labels = [row.labels for row in clipcli.classify(tree, classifier=classifier, top_k=6, score="cosine", **FP32)]
    assert calibrated.calibration is not None
    cooler = replace(calibrated, calibration=replace(calibrated.calibration, biases=None))
    rows = list(clipcli.classify(tree, classifier=cooler, top_k=6, **FP32))
    assert [row.labels[0] for row in rows] == [some[0] for some in labels]
    expected = softmax(np.array(cosines) * classifier.logit_scale / 2, axis=1)
    np.testing.assert_allclose([row.scores for row in rows], expected, rtol=1e-3)


def test_a_loaded_model_applies_it(tree: Path, classifier: clipcli.Classifier, model: str) -> None:
    calibrated = shifted(classifier, tree)
    rows = clipcli.load(model, **FP32).classify(tree, classifier=calibrated)
    assert {row.labels[0] for row in rows} == {"yak"}


def test_scores_of_another_kind_are_not_calibrated(tree: Path, classifier: clipcli.Classifier) -> None:
    calibrated = shifted(classifier, tree)
    with pytest.warns(ClipcliWarning, match="is calibrated for softmax alone"):
        rows = list(clipcli.classify(tree, classifier=calibrated, score="cosine", **FP32))
    assert [row.scores for row in rows] == [
        row.scores for row in clipcli.classify(tree, classifier=classifier, score="cosine", **FP32)
    ]


def test_evaluate_measures_it(tree: Path, classifier: clipcli.Classifier) -> None:
    calibrated = shifted(classifier, tree)
    evaluation = clipcli.evaluate(tree, classifier=calibrated, **FP32)
    [only] = evaluation.runs
    assert evaluation.metrics["top1"] == pytest.approx(1 / 6)
    assert isinstance(only, Run)
    assert only.calibration == calibrated.calibration
    # Scores of nearly 1, of which a sixth is right.
    assert evaluation.metrics["ece"] == pytest.approx(5 / 6, abs=1e-3)
    [one] = only.bins
    assert (one.count, one.accuracy) == (30, pytest.approx(1 / 6))


def test_images_of_none_teach_the_unknown_threshold(
    tree: Path, photos: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    (photos / "bad.jpg").write_text("no image")
    calibrated, _ = told(tree, classifier, unknown_folder=str(photos))
    found = calibrated.classifier.calibration
    assert found is not None
    assert found.unknown_at is not None
    assert [entry.item.id for entry in calibrated.skipped] == [f"{photos}/bad.jpg"]
    taught = calibrated.classifier
    (photos / "bad.jpg").unlink()
    model = clipcli.load(taught.model, **FP32)
    known, none = (unknown_scores(model.embed_images(folder), taught) for folder in (tree, photos))
    assert found.nones == len(none)
    assert found.unknown_at == learned_threshold(none, known, default=0.8)
    assert default_threshold(taught) == found.unknown_at
    taught.save(tmp_path / "c.safetensors")
    assert clipcli.Classifier.load(tmp_path / "c.safetensors").calibration == found
    plain = told(tree, classifier)[0].classifier.calibration
    assert plain == replace(found, unknown_at=None, nones=0)
    assert plain is not None
    assert "unknown_at" not in plain.as_json()


def test_images_of_none_that_cannot_be_read_are_refused(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "bad.jpg").write_text("no image")
    with pytest.raises(UsageError, match="none: none of its images can be read; give images of none of the labels"):
        clipcli.calibrate(tree, classifier=classifier, unknown_folder=str(tmp_path / "none"), **FP32)


def test_images_of_none_are_for_one_label_an_image(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    table = tmp_path / "several.csv"
    rows = [f"{path},{path.parent.name};dog" for path in sorted(tree.rglob("*.png"))]
    table.write_text("\n".join(["path,labels", *rows]) + "\n")
    with pytest.raises(UsageError, match="unknown_folder is for one label an image"):
        clipcli.calibrate(table, classifier=classifier, multi_label=True, unknown_folder=str(tree), **FP32)
