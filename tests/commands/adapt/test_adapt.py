"""From corrections to a classifier: what is learned, what is left out and said, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import CLASSES, FP32, photograph

import clipcli
from clipcli.classes.labels import LabelledClass
from clipcli.commands.adapt.corrected_images import read_corrected
from clipcli.commands.adapt.run import Adapted, run
from clipcli.commands.adapt.settings import AdaptSettings
from clipcli.errors import BadFile, ClipcliError, ClipcliWarning, InputNotFound, UsageError
from clipcli.events import Event, ModelLoaded, Noted, Warned, result_of
from clipcli.notices import Notices
from clipcli.scoring import adapt as scoring

LABELS = [name.replace("_", " ") for name in CLASSES]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six classes of five images each."""
    return photograph(tmp_path / "tree", seed=0, images_per_class=5)


@pytest.fixture
def classifier(model: str) -> clipcli.Classifier:
    return clipcli.build_classifier(LABELS, model=model, prompts="plain", **FP32)


def corrections_of(tree: Path, target: Path, *, classes: Sequence[str] = CLASSES, none: Sequence[str] = ()) -> Path:
    """Corrections of the images of these classes; those of `none` are of none of the labels."""
    rows = []
    for path in sorted(tree.rglob("*.png")):
        name = path.parent.name
        if name in classes or name in none:
            label = "" if name in none else name.replace("_", " ")
            rows.append(f"{path},{label},2026-01-02T03:04:05+00:00")
    target.write_text("\n".join(["path,label,reviewed_at", *rows]) + "\n")
    return target


def told(corrections: Path, classifier: clipcli.Classifier, **options: object) -> tuple[Adapted, list[Event]]:
    """The result, and what was said on the way."""
    events: list[Event] = []
    settings = AdaptSettings(corrections=[corrections], classifier=classifier, **{"engine": "torch", **FP32, **options})
    return result_of(run(settings), show=events.append), events


def said(events: Sequence[Event], kind: type[Warned] | type[Noted]) -> list[str]:
    return [event.message for event in events if isinstance(event, kind)]


def right(rows: clipcli.Rows) -> float:
    return float(np.mean([row.labels[0] == Path(row.path).parent.name.replace("_", " ") for row in rows]))


def test_corrections_make_a_classifier_for_every_command(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    adapted = clipcli.adapt(corrections=corrections_of(tree, tmp_path / "c.csv"), classifier=classifier, **FP32)
    found = adapted.adaptation
    assert found is not None
    assert (found.images, found.nones, found.unknown_at) == (30, 0, None)
    assert found.by_class == dict.fromkeys(LABELS, 5)
    assert found.prior in (30.0, 100.0)
    assert found.accuracy is not None
    before = right(clipcli.classify(tree, classifier=classifier, **FP32))
    assert found.accuracy.before == pytest.approx(before)
    assert found.accuracy.gain == pytest.approx(found.accuracy.after - found.accuracy.before)
    assert right(clipcli.classify(tree, classifier=adapted, **FP32)) > before
    assert (adapted.class_embeddings == classifier.class_embeddings).all()
    assert classifier.adaptation is None
    adapted.save(tmp_path / "adapted.safetensors")
    evaluation = clipcli.evaluate(tree, classifier=tmp_path / "adapted.safetensors", **FP32)
    assert evaluation.runs[0].metrics["top1"].value > before
    assert clipcli.calibrate(tree, classifier=adapted, **FP32).adaptation == found


def test_labels_are_built_into_the_same_classifier(
    tree: Path, classifier: clipcli.Classifier, model: str, tmp_path: Path
) -> None:
    corrections = corrections_of(tree, tmp_path / "c.csv")
    by_labels = clipcli.adapt(corrections=corrections, labels=LABELS, model=model, prompts="plain", **FP32)
    assert by_labels.digest() == clipcli.adapt(corrections=corrections, classifier=classifier, **FP32).digest()


def test_classes_without_corrections_keep_their_text(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    adapted, _ = told(corrections_of(tree, tmp_path / "c.csv", classes=CLASSES[:2]), classifier)
    learned = adapted.classifier
    assert learned.weights is not None
    assert learned.biases is not None
    assert learned.adaptation is not None
    scale = learned.adaptation.text_trust
    np.testing.assert_allclose(learned.weights[2:], scale * classifier.class_embeddings[2:], rtol=1e-5)
    assert (learned.biases[2:] == 0).all()
    assert (learned.weights[:2] != scale * classifier.class_embeddings[:2]).any()


def test_images_of_none_of_the_labels_teach_the_threshold(tree: Path, model: str, tmp_path: Path) -> None:
    known, none = CLASSES[:3], CLASSES[3:]
    labels = [name.replace("_", " ") for name in known]
    classifier = clipcli.build_classifier(labels, model=model, prompts="plain", vocabulary=True, **FP32)
    corrections = corrections_of(tree, tmp_path / "c.csv", classes=known, none=none)
    learned = told(corrections, classifier)[0].classifier
    assert learned.adaptation is not None
    at = learned.adaptation.unknown_at
    assert (learned.adaptation.images, learned.adaptation.nones) == (15, 15)
    assert at is not None
    assert at != 0.8
    by_default = list(clipcli.classify(tree, classifier=learned, unknown=True, **FP32))
    by_number = list(clipcli.classify(tree, classifier=learned, unknown=True, unknown_at=at, **FP32))
    assert by_default == by_number


def test_corrections_of_none_alone_leave_the_labels(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    learned = told(corrections_of(tree, tmp_path / "c.csv", classes=(), none=CLASSES[:1]), classifier)[0].classifier
    assert learned.weights is None
    assert learned.adaptation is not None
    assert learned.adaptation.accuracy is None
    assert right(clipcli.classify(tree, classifier=learned, **FP32)) == right(
        clipcli.classify(tree, classifier=classifier, **FP32)
    )


def test_no_model_is_loaded_for_embeddings_that_are_cached(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    corrections = corrections_of(tree, tmp_path / "c.csv")
    first = told(corrections, classifier, cache=True)
    again, events = told(corrections, classifier, cache=True)
    assert any(isinstance(event, ModelLoaded) for event in first[1])
    assert not any(isinstance(event, ModelLoaded) for event in events)
    assert again.classifier.digest() == first[0].classifier.digest()


def test_what_is_no_class_is_counted_and_left_out(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    corrections = corrections_of(tree, tmp_path / "c.csv")
    text = corrections.read_text()
    corrections.write_text(text.replace(f",{LABELS[0]},", ",zeppelin,", 2))
    adapted, events = told(corrections, classifier)
    assert adapted.classifier.adaptation is not None
    assert adapted.classifier.adaptation.images == 28
    [warning] = said(events, Warned)
    assert warning.startswith("2 corrections have labels that are none of the classes, such as ")
    assert "(2 zeppelin): left out; build a classifier with these labels too" in warning


def test_of_several_labels_the_first_class_is_learned(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    table.write_text(
        'path,label,labels,reviewed_at\na.jpg,sky,"sky; cat; dog",2026-01-01T00:00:00Z\n'
        "b.jpg,dog,dog,2026-01-01T00:00:00Z\n"
    )
    notices = Notices()
    images = result_of(read_corrected([str(table)], [LabelledClass("cat"), LabelledClass("dog")], notices))
    assert images.truth.tolist() == [0, 1]
    assert [event.message for event in notices.events()] == [
        "1 correction has several labels, a.jpg: only the first of them that is a class is learned, as a classifier"
        " gives each image one"
    ]


def test_the_latest_of_several_persons_counts(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    Path(files[0]).write_text("path,label,reviewed_at\np.jpg,cat,2026-01-03T00:00:00Z\n")
    Path(files[1]).write_text("path,label,reviewed_at\np.jpg,dog,2026-01-02T00:00:00Z\n")
    classes, events = [LabelledClass("cat"), LabelledClass("dog")], list[Event]()
    images = result_of(read_corrected(files, classes, Notices()), show=events.append)
    assert images.truth.tolist() == [0]
    assert len(images.items) == 1
    [warning] = said(events, Warned)
    assert warning.startswith("corrections differ on p.jpg: 'dog' in ")


def test_an_earlier_adaptation_and_calibration_are_left(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path
) -> None:
    corrections = corrections_of(tree, tmp_path / "c.csv")
    first = told(corrections, classifier)[0].classifier
    again, events = told(corrections, clipcli.calibrate(tree, classifier=first, **FP32))
    assert again.classifier.digest() == first.digest()
    [note] = said(events, Noted)
    assert note.startswith("The classifier was adapted to 30 corrections of 6 labels, and calibrated: ")
    assert note.endswith("what it learned then is left, and it learns from these corrections alone.")


def test_an_image_that_cannot_be_read_is_skipped(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    corrections = corrections_of(tree, tmp_path / "c.csv")
    sorted(tree.rglob("*.png"))[0].unlink()
    adapted, _ = told(corrections, classifier)
    assert len(adapted.skipped) == 1
    assert adapted.classifier.adaptation is not None
    assert adapted.classifier.adaptation.images == 29


def test_images_without_labels_are_looked_at_where_they_tell_something(
    tree: Path, classifier: clipcli.Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def adapted(*arguments: Any, others: Any) -> Any:
        given.append(None if others is None else others.shape)
        return scoring.adapted(*arguments, others=others)

    monkeypatch.setattr("clipcli.commands.adapt.run.adapted", adapted)
    monkeypatch.setattr("clipcli.commands.adapt.run._MOST_OTHERS", 20)
    corrections = corrections_of(tree, tmp_path / "c.csv")
    _, events = told(corrections, classifier, images=tree)
    assert said(events, Noted) == [
        "The images without labels are left: they count where each label has a correction, and some have only one."
    ]
    rows = corrections.read_text().splitlines(keepends=True)
    corrections.write_text("".join([rows[0], *rows[1::5]]))
    found, events = told(corrections, classifier, images=[str(tree)])
    assert said(events, Noted) == ["20 of the 30 images without labels are looked at, taken at random."]
    assert given == [None, (20, classifier.class_embeddings.shape[1])]
    assert found.classifier.adaptation is not None
    assert found.classifier.adaptation.images == 6


def test_a_classifier_for_several_labels_is_refused(classifier: clipcli.Classifier, tmp_path: Path) -> None:
    calibrated = replace(classifier, several=object())
    with pytest.raises(UsageError, match="is calibrated for several labels, and adapting teaches one label an image"):
        clipcli.adapt(corrections=tmp_path / "no.csv", classifier=calibrated, **FP32)


def test_scores_of_sigmoid_models_become_a_softmax(tree: Path, classifier: clipcli.Classifier, tmp_path: Path) -> None:
    sigmoid = replace(classifier, score="sigmoid", logit_bias=-10.0)
    adapted, events = told(corrections_of(tree, tmp_path / "c.csv"), sigmoid)
    assert adapted.classifier.score == "softmax"
    assert said(events, Noted) == [
        f"The scores of {classifier.model} are sigmoids; adapted, they are a softmax over the labels."
    ]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ("", UsageError, "no corrections were given; give corrections"),
        ("", BadFile, "no corrections; review some images first"),
        ("a.jpg,zeppelin,2026-01-01T00:00:00Z\n", BadFile, "no correction has a label of the classes"),
        (f"a.jpg,{LABELS[0]},2026-01-01T00:00:00Z\n", UsageError, "no image of the corrections can be read"),
    ],
)
@pytest.mark.filterwarnings(f"ignore::{ClipcliWarning.__module__}.{ClipcliWarning.__name__}")
def test_what_cannot_be_learned_from(
    classifier: clipcli.Classifier, tmp_path: Path, rows: str, error: type[ClipcliError], message: str
) -> None:
    table = tmp_path / "c.csv"
    table.write_text(f"path,label,reviewed_at\n{rows}")
    with pytest.raises(error, match=message):
        clipcli.adapt(
            corrections=() if message.startswith("no corrections were") else table, classifier=classifier, **FP32
        )


def test_a_file_that_is_not_there(classifier: clipcli.Classifier, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        clipcli.adapt(corrections=tmp_path / "no.csv", classifier=classifier, **FP32)
