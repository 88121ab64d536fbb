"""Labels in groups: rows have paths, answers back off, classifiers keep the groups, and files are resumed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcli
from clipcli.cli import main as program
from clipcli.errors import UsageError
from clipcli.outputs.open import Output
from clipcli.scoring.classifier import Classifier
from clipcli.settings import to_yaml

NESTED = {"animal": {"dog": ["beagle", "husky"], "cat": ["tabby"]}, "thing": ["car", "red / blue bus"], "sky": None}
FLAT = ["beagle", "husky", "tabby", "car", "red / blue bus", "sky"]
PATHS = {
    "beagle": "animal/dog/beagle",
    "husky": "animal/dog/husky",
    "tabby": "animal/cat/tabby",
    "car": "thing/car",
    "red / blue bus": r"thing/red \/ blue bus",
    "sky": "sky",
    "animal": "animal",
    "dog": "animal/dog",
    "cat": "animal/cat",
    "thing": "thing",
}
MEMBERS = {"animal": FLAT[:3], "dog": FLAT[:2], "cat": FLAT[2:3], "thing": FLAT[3:5]}
YAML = "animal: {dog: [beagle, husky], cat: [tabby]}\nthing: [car, red / blue bus]\nsky:\n"


def main(arguments: list[str]) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        program(arguments)
    return int(ended.value.code or 0)


@pytest.fixture
def options(model: str) -> dict[str, Any]:
    return {"model": model, "prompts": "plain", "precision": "fp32", "device": "cpu"}


def test_rows_are_those_of_the_classes_with_their_paths(photos: Path, options: dict[str, Any]) -> None:
    flat = list(clipcli.classify(photos, labels=FLAT, top_k=3, **options))
    nested = list(clipcli.classify(photos, labels=NESTED, top_k=3, **options))
    assert [(row.path, row.labels, row.scores) for row in nested] == [
        (row.path, row.labels, row.scores) for row in flat
    ]
    assert [row.label_path for row in nested] == [PATHS[row.labels[0]] for row in nested]
    assert {row.label_path for row in flat} == {None}


def test_answers_back_off_to_the_innermost_group_that_is_sure_enough(photos: Path, options: dict[str, Any]) -> None:
    everything = [
        dict(zip(row.labels, row.scores, strict=True))
        for row in clipcli.classify(photos, labels=FLAT, top_k=6, **options)
    ]
    seen = set()
    for at in np.linspace(0.15, 0.95, 9):
        rows = list(clipcli.classify(photos, labels=NESTED, back_off=float(at), top_k=2, **options))
        for row, scores in zip(rows, everything, strict=True):
            best = max(scores, key=scores.__getitem__)
            groups = {name: sum(scores[one] for one in inside) for name, inside in MEMBERS.items()}
            way = [best, *(name for name in ("dog", "cat", "animal", "thing") if best in MEMBERS[name])]
            values = scores | groups
            label = next((name for name in way if values[name] >= at), None)
            reached = [name for name in ("dog", "cat", "animal", "thing") if values[name] >= at]
            label = label or (reached[0] if reached else way[-1])
            assert (row.labels[0], row.label_path) == (label, PATHS[label])
            assert row.scores[0] == pytest.approx(values[label], abs=1e-6)
            assert row.labels[1] == (best if label != best else list(scores)[1])
            seen.add(label in MEMBERS)
    assert seen == {True, False}


def test_a_classifier_keeps_the_groups(photos: Path, options: dict[str, Any], tmp_path: Path) -> None:
    expected = list(clipcli.classify(photos, labels=NESTED, back_off=0.5, **options))
    without_model = {name: value for name, value in options.items() if name not in ("model", "prompts")}
    classifier = clipcli.build_classifier(
        NESTED, model=options["model"], prompts="plain", precision="fp32", device="cpu"
    )
    classifier.save(tmp_path / "c.safetensors")
    assert Classifier.load(tmp_path / "c.safetensors").tree == classifier.tree
    assert (
        list(clipcli.classify(photos, classifier=tmp_path / "c.safetensors", back_off=0.5, **without_model)) == expected
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": FLAT, "back_off": 0.5}, r"back_off needs groups to back off to; give labels that nest in a \.yaml"),
        (
            {"labels": NESTED, "back_off": 0.5, "score": "cosine"},
            "back_off needs scores that add up, and those of cosine",
        ),
        ({"labels": NESTED, "back_off": 1.5}, r"back_off=1\.5 does not fit; give from 0 to 1"),
        ({"labels": NESTED, "taxonomy": "wordnet"}, "the labels nest already; leave out taxonomy"),
        ({"labels": FLAT, "taxonomy": "wordnets"}, "unknown taxonomy='wordnets'|unknown taxonomy"),
    ],
)
def test_what_does_not_fit_is_refused(photos: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clipcli.classify(photos, model="tiny", **given)


def test_back_off_is_refused_for_a_model_whose_scores_do_not_add_up(photos: Path, models: dict[str, Path]) -> None:
    options: dict[str, Any] = {"labels": NESTED, "model": str(models["sigmoid"]), "prompts": "plain", "back_off": 0.5}
    with pytest.raises(UsageError, match="those of sigmoid do not; use score='softmax'"):
        list(clipcli.classify(photos, **options))
    assert len(list(clipcli.classify(photos, score="softmax", **options))) == 6


def test_a_classifier_with_a_taxonomy_is_refused(photos: Path, model: str) -> None:
    classifier = clipcli.build_classifier(FLAT, model=model, prompts="plain")
    with pytest.raises(UsageError, match="a classifier has its groups in it; give taxonomy with labels"):
        clipcli.classify(photos, classifier=classifier, taxonomy="wordnet")


@pytest.fixture
def flags(photos: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    Path("labels.yaml").write_text(YAML)
    return ["classify", photos.name, "--labels", "labels.yaml", "--model", model, "--prompts", "plain"]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_an_interrupted_run_is_resumed(flags: list[str], format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flags += ["--back-off", "0.95", "--batch-size", "2", "--top-k", "2", "--no-cache"]
    assert main([*flags, "-o", f"whole.{format}"]) == 0
    write, left = Output.write, [2]

    def interrupted(self: Output, rows: Any) -> None:
        write(self, rows)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Output, "write", interrupted)
    assert main([*flags, "-o", f"cut.{format}"]) == 130
    monkeypatch.setattr(Output, "write", write)
    assert main([*flags, "-o", f"cut.{format}", "--resume"]) == 0
    assert Path(f"cut.{format}").read_bytes() == Path(f"whole.{format}").read_bytes()


def test_resuming_with_other_groups_is_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "-o", "out.csv"]) == 0
    Path("labels.yaml").write_text(YAML.replace("cat: [tabby]", "kitty: [tabby]"))
    assert main([*flags, "-o", "out.csv", "--resume"]) == 2
    assert "--labels gave other groups of 'tabby'; give that again" in capsys.readouterr().err
    Path("labels.yaml").write_text(YAML)
    assert main([*flags, "-o", "out.csv", "--resume", "--back-off", "0.5"]) == 2
    assert "--back-off was not given and is 0.5" in capsys.readouterr().err


def test_the_output_the_manifest_and_the_summary_tell_of_groups(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*flags, "-o", "out.csv", "--back-off", "1"]) == 0
    said = capsys.readouterr().err
    with open("out.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "score", "label_path", "error"]
    assert {row["label"] for row in rows} <= {"animal", "thing", "sky"}
    manifest = json.loads(Path("out.csv.json").read_text())
    assert manifest["provenance"]["classes"][0] == {
        "label": "beagle",
        "aliases": [],
        "descriptions": [],
        "groups": ["animal", "dog"],
    }
    assert "1 set of labels is a hierarchy, labels.yaml (6 classes in 4 groups)" in said
    groups = sum(row["label"] != "sky" for row in rows)
    assert f"{groups} of 6 images have a group as label, as no class reaches 1.\n" in said
    assert "Of 6 images no group reaches it: the label is the outermost one, and its score lower.\n" in said
    # Groups are no classes, and so the labels cannot be evaluated as they are.
    assert "clipcli evaluate" not in said


def test_without_groups_nothing_is_said_of_them(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("labels.yaml").write_text("[beagle, husky, car]")
    assert main([*flags, "-o", "out.csv"]) == 0
    assert Path("out.csv").read_text().startswith("path,label,score,error\n")
    assert "group" not in capsys.readouterr().err
    assert "groups" not in json.loads(Path("out.csv.json").read_text())["provenance"]["classes"][0]


def test_the_page_has_a_table_of_groups(flags: list[str]) -> None:
    assert main([*flags, "-o", "out.csv", "--back-off", "1", "--report", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "Groups" in page
    assert "with the group as label" in page
    assert "as no class reaches 1." in page
    assert main([*flags, "-o", "plain.csv", "--report", "plain.html"]) == 0
    assert "\u2003dog" in page + Path("plain.html").read_text()


def test_settings_with_a_hierarchy_are_written_and_read_again() -> None:
    import yaml

    settings = clipcli.ClassifySettings("photos", labels=NESTED, back_off=0.5)
    again = clipcli.ClassifySettings(**yaml.safe_load(to_yaml(settings)))
    assert json.dumps(again.labels) == json.dumps(settings.labels)
