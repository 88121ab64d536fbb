"""`--unknown`: images of none of the labels, from the labels to the rows, the summary and the page."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcli
from clipcli.cli import main
from clipcli.commands.classify.tally import Tally
from clipcli.errors import ClipcliWarning, UsageError
from clipcli.files.manifest import read_manifest
from clipcli.records import Row
from clipcli.scoring.unknown import unknown_scores

LABELS = ["cat", "dog", "beach"]
PLAIN = {"prompts": "plain", "precision": "fp32"}


def _exit_code(args: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return ended.value.code


def _rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_those_of_the_scores(photos: Path, model: str) -> None:
    classifier = clipcli.build_classifier(LABELS, model=model, vocabulary=True, **PLAIN)
    loaded = clipcli.load(model, precision="fp32")
    scores = unknown_scores(loaded.embed_images(photos), classifier)
    at = float(np.median(scores))
    plain = list(clipcli.classify(photos, classifier=classifier, precision="fp32"))

    rows = list(clipcli.classify(photos, labels=LABELS, model=model, unknown=True, unknown_at=at, **PLAIN))

    assert 0 < sum(row.labels[0] == "unknown" for row in rows) < len(rows)
    for row, before, score in zip(rows, plain, scores, strict=True):
        assert len(row.labels) == 2
        if score >= at:
            assert row.labels == ("unknown", before.labels[0])
            assert row.scores == pytest.approx((score, before.scores[0]), abs=1e-5)
        else:
            assert row.labels[0] == before.labels[0]
    again = {"unknown": True, "unknown_at": at}
    assert list(clipcli.classify(photos, classifier=classifier, precision="fp32", **again)) == rows
    assert list(loaded.classify(photos, labels=LABELS, prompts="plain", **again)) == rows


def test_a_classifier_without_words_gets_them_by_its_prompts(photos: Path, model: str) -> None:
    with_words, without = (
        clipcli.build_classifier(LABELS, model=model, vocabulary=vocabulary, **PLAIN) for vocabulary in (True, False)
    )
    assert without.vocabulary is None
    how: dict[str, Any] = {"unknown": True, "unknown_at": 0.5, "precision": "fp32"}
    rows = list(clipcli.classify(photos, classifier=with_words, **how))
    assert list(clipcli.classify(photos, classifier=without, **how)) == rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unknown_at": 0.3}, "unknown_at is about unknown images"),
        ({"unknown_label": "none"}, "unknown_label is about unknown images"),
        ({"unknown": True, "unknown_label": " "}, "unknown_label has no text"),
        ({"unknown": True, "unknown_label": "dog"}, "'dog' is one of the labels as well"),
        ({"unknown": True, "unknown_at": 1.5}, "1.5"),
    ],
)
def test_settings_that_make_no_sense(photos: Path, model: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clipcli.classify(photos, labels=LABELS, model=model, **options)  # type: ignore[arg-type]


def test_one_class_alone_is_no_reason_to_warn(photos: Path, model: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ClipcliWarning)
        rows = list(clipcli.classify(photos, labels=["cat"], model=model, unknown=True, **PLAIN))
        clipcli.build_classifier(["cat"], model=model, vocabulary=True, **PLAIN)
    for row in rows:
        assert row.labels in [("cat",), ("unknown", "cat")]
        assert row.scores[0] >= 0.5
        assert sum(row.scores) == pytest.approx(1) or row.labels == ("cat",)


def test_sigmoid_models_have_it_too(photos: Path, models: dict[str, Path]) -> None:
    options = {"labels": ["cat"], "model": str(models["sigmoid"]), **PLAIN}
    plain = list(clipcli.classify(photos, **options))

    rows = list(clipcli.classify(photos, unknown=True, unknown_at=0, **options))

    assert [row.labels for row in rows] == [("unknown", "cat")] * len(rows)
    assert [row.scores[1] for row in rows] == [row.scores[0] for row in plain]


def test_the_command_says_how_many_are_unknown(
    photos: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, page = tmp_path / "out.csv", tmp_path / "out.html"
    args = ["classify", str(photos), "--labels", "cat, dog", "--model", model, "--prompts", "plain", "-o", str(output)]
    args += ["--unknown", "--unknown-at", "0", "--unknown-label", "none of these", "--report", str(page)]

    assert _exit_code(args) == 0

    said = capsys.readouterr().err
    assert "6 of 6 images are none of these: none of the labels fits." in said
    assert "clipcli evaluate" not in said
    assert "6 of 6 photos are none of these: none of the labels fits." in page.read_text()
    rows = _rows_of(output)
    assert list(rows[0]) == ["path", "label", "score", "label_2", "score_2", "error"]
    assert {row["label"] for row in rows} == {"none of these"}
    assert {row["label_2"] for row in rows} <= {"cat", "dog"}
    manifest = read_manifest(output)
    assert manifest is not None
    settings = manifest.provenance.settings
    assert (settings["unknown"], settings["unknown_at"], settings["unknown_label"]) == (True, 0, "none of these")
    assert _exit_code([*args, "--resume"]) == 0
    assert "complete, an earlier run had labelled all 6 images" in capsys.readouterr().err
    args[args.index("0")] = "0.5"
    assert _exit_code([*args, "--resume"]) == 2
    assert "--unknown-at was 0.0 and is 0.5" in capsys.readouterr().err


def test_how_many_are_unknown_in_a_sentence() -> None:
    tally = Tally()
    tally.add([Row("1", ("unknown", "cat"), (0.9, 0.5))])
    assert tally.of_none("unknown", noun="image") == "1 of 1 image is unknown: none of the labels fits."
    tally.add([Row("2", ("cat", "dog"), (0.9, 0.1)), Row("3", (), (), "not an image")])
    assert tally.of_none("unknown", noun="image") == "1 of 2 images is unknown: none of the labels fits."
    assert tally.of_none("other", noun="photo") == "No photo is other: each fits one of the labels."


@pytest.mark.shared
@pytest.mark.parametrize(
    ("label", "right"),
    [("dog", {"beagle", "bluetick"}), ("bee", {"bee"}), ("banana", {"banana"})],
)
def test_is_it_one_on_real_photos(shared: Callable[[str], Path], label: str, right: set[str]) -> None:
    rows = list(clipcli.classify(shared("data/photos"), labels=[label], model="tiny", unknown=True, prompts="plain"))
    found = {Path(row.path).stem for row in rows if row.labels[0] == label}

    assert right <= found
    assert len(found) <= 16
