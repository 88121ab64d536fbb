"""Settings that decide about labels, together: groups, backing off, unknown images and refining."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import clipcli
from clipcli.classes.vocabulary import vocabulary
from clipcli.errors import UsageError
from clipcli.outputs.read import read_rows

NESTED = {"animal": {"dog": ["beagle", "husky"], "cat": ["tabby", "siamese"]}, "thing": ["boat", "house"]}
GROUPS = {"animal", "dog", "cat", "thing"}
HOW: dict[str, Any] = {"prompts": "plain", "precision": "fp32"}


def test_an_unknown_image_has_no_path_and_the_answer_of_backing_off_after_it(photos: Path, model: str) -> None:
    how = {"labels": NESTED, "model": model, "back_off": 1, "top_k": 2, **HOW}
    backed_off = list(clipcli.classify(photos, **how))
    assert {row.labels[0] for row in backed_off} <= GROUPS
    assert [row.label_path for row in backed_off] == [
        {"animal": "animal", "thing": "thing", "dog": "animal/dog", "cat": "animal/cat"}[row.labels[0]]
        for row in backed_off
    ]
    rows = list(clipcli.classify(photos, unknown=True, unknown_at=0, **how))
    assert [row.labels for row in rows] == [("unknown", row.labels[0]) for row in backed_off]
    assert {row.label_path for row in rows} == {None}
    none = list(clipcli.classify(photos, unknown=True, unknown_at=1, **how))
    assert none == backed_off


def test_rows_of_all_these_come_back_from_a_file(photos: Path, model: str, tmp_path: Path) -> None:
    from clipcli.cli import main

    (tmp_path / "nested.yaml").write_text("animal: {dog: [beagle, husky]}\nthing: [boat, house]\n")
    output = tmp_path / "rows.csv"
    arguments = ["classify", photos, "--labels", tmp_path / "nested.yaml", "--model", model, "--output", output]
    arguments += ["--unknown", "--unknown-at", 0.5, "--back-off", 0.3, "--prompts", "plain", "--precision", "fp32"]
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    assert ended.value.code == 0
    schema, rows = read_rows(output)
    assert schema.columns == ("path", "label", "score", "label_2", "score_2", "label_path", "error")
    read = list(rows)
    assert len(read) == 6
    assert all((row.label_path is None) == (row.labels[0] == "unknown") for row in read)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unknown": True}, "unknown=True is for one label an image; drop it, or multi_label=True"),
        ({"refine": True}, "refine=True is for one label an image"),
        ({"back_off": 0.5}, "back_off is for one label an image"),
    ],
)
def test_several_labels_go_with_none_of_them(photos: Path, model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clipcli.classify(photos, labels=NESTED, model=model, multi_label=True, **options)


def test_a_calibrated_classifier_is_not_refined(photos: Path, model: str) -> None:
    from dataclasses import replace

    from clipcli.scoring.calibration import Calibration, Quality

    quality = Quality(ece=0.1, ece_low=0.0, ece_high=0.2, top1=0.5, nll=1.0)
    calibration = Calibration(temperature=2.0, biases=None, images=50, labels=2, before=quality, after=quality)
    classifier = replace(clipcli.build_classifier(["cat", "dog"], model=model, **HOW), calibration=calibration)
    with pytest.raises(UsageError, match=r"calibrated, .* refine first, with clipcli build-classifier --refine-on"):
        list(clipcli.classify(photos, classifier=classifier, refine=True, precision="fp32"))


def test_the_unknown_label_is_no_name_of_a_group_either(photos: Path, model: str) -> None:
    with pytest.raises(UsageError, match="'animal' is one of the labels as well"):
        clipcli.classify(photos, labels=NESTED, model=model, unknown=True, unknown_label="animal")


def test_labels_that_leave_no_common_word_are_refused(photos: Path, model: str) -> None:
    with pytest.raises(UsageError, match="only 0 common words mean something else than your labels"):
        list(clipcli.classify(photos, labels=list(vocabulary()), model=model, unknown=True, **HOW))


def test_groups_that_several_labels_do_not_show_are_said(photos: Path, model: str) -> None:
    from clipcli.commands.classify.run import run
    from clipcli.commands.classify.settings import ClassifySettings
    from clipcli.events import Noted

    settings = ClassifySettings(inputs=str(photos), labels=NESTED, model=model, multi_label=True, **HOW)
    notes = [event.message for event in run(settings) if isinstance(event, Noted)]
    assert "The labels are in groups, and with --multi-label each is written without them." in notes


def test_a_refined_and_calibrated_classifier_is_said_to_be_so() -> None:
    from dataclasses import replace

    import numpy as np

    from clipcli.scoring.calibration import Calibration, Quality
    from clipcli.scoring.classifier import Classifier

    quality = Quality(ece=0.1, ece_low=0.0, ece_high=0.2, top1=0.5, nll=1.0)
    calibration = Calibration(temperature=2.0, biases=None, images=50, labels=2, before=quality, after=quality)
    axes = np.eye(2, dtype=np.float32)
    plain = Classifier(axes, ("cat", "dog"), "m", "f", "plain", "fp32", 10.0, None, "softmax")
    refined = replace(plain, weights=axes, biases=axes[0], refined_on=3409)
    assert plain.in_words() is None
    assert refined.in_words() == "refined on 3,409 images"
    assert replace(refined, calibration=calibration).in_words() == (
        "refined on 3,409 images, and calibrated: temperature 2.00, by 50 labelled images"
    )
