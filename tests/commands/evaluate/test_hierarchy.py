"""Evaluation of labels in groups: hits at each level, distances and backing off, counted anew from scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_data import FP32, photograph

import clipcli
from clipcli.cli import main
from clipcli.commands.evaluate.results import Run
from clipcli.errors import UsageError

# Of the six classes of `small_data`.
NESTED = {"animal": {"canine": ["dog", "red fox"], "bovine": ["cow", "yak"], "cat": None}, "bear": None}
GROUPS = {
    "dog": ("animal", "canine"),
    "red_fox": ("animal", "canine"),
    "cow": ("animal", "bovine"),
    "yak": ("animal", "bovine"),
    "cat": ("animal",),
    "bear": (),
}
AT = 0.4


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return photograph(tmp_path / "val", seed=0)


def path_of(label: str) -> tuple[str, ...]:
    return (*GROUPS[label.replace(" ", "_")], label.replace(" ", "_"))


def steps(answer: tuple[str, ...], truth: tuple[str, ...]) -> int:
    shared = sum(1 for n in range(min(len(answer), len(truth))) if answer[: n + 1] == truth[: n + 1])
    return len(answer) + len(truth) - 2 * shared


def height(answer: tuple[str, ...], truth: tuple[str, ...]) -> int:
    """The steps down from what has both in it to the lowest class there."""
    shared = max(n for n in range(4) if answer[:n] == truth[:n] and n <= min(len(answer), len(truth)))
    inside = [(*groups, label) for label, groups in GROUPS.items() if (*groups, label)[:shared] == truth[:shared]]
    return max(map(len, inside)) - shared


def levels(path: tuple[str, ...]) -> list[str]:
    return [path[min(n, len(path) - 1)] for n in range(3)]


def test_levels_distances_and_backing_off_are_those_of_the_predictions(data: Path, model: str, tmp_path: Path) -> None:
    found = clipcli.evaluate(
        data, labels=NESTED, model=model, prompts="plain", back_off=AT, output=tmp_path / "o", **FP32
    )
    [run] = found.runs
    assert isinstance(run, Run)
    assert run.hierarchy is not None
    table = pd.read_csv(tmp_path / "o" / "predictions.csv")
    answers, truth = ([path_of(name) for name in table[column]] for column in ("label", "truth"))
    pairs = list(zip(answers, truth, strict=True))
    assert len({answer != true for answer, true in pairs}) == 2, "some are right and some are wrong"
    assert [(one.level, one.names) for one in run.hierarchy.levels] == [(1, 2), (2, 4), (3, 6)]
    for n, one in enumerate(run.hierarchy.levels):
        assert one.label.value == pytest.approx(np.mean([levels(a)[n] == levels(t)[n] for a, t in pairs]))
    assert run.hierarchy.levels[-1].label.value == found.metrics["top1"]
    assert run.hierarchy.edges.value == pytest.approx(np.mean([steps(*pair) for pair in pairs]))
    assert run.hierarchy.height.value == pytest.approx(np.mean([height(*pair) for pair in pairs]))
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert run.hierarchy.edges_of_mistakes == pytest.approx(np.mean([steps(*pair) for pair in wrong]))
    assert run.hierarchy.height_of_mistakes == pytest.approx(np.mean([height(*pair) for pair in wrong]))
    rows = list(clipcli.classify(data, labels=NESTED, model=model, prompts="plain", back_off=AT, **FP32))
    backed = [tuple(name.replace(" ", "_") for name in (row.label_path or "").split("/")) for row in rows]
    true = [path_of(Path(row.path).parent.name) for row in rows]
    of_rows = run.hierarchy.back_off
    assert of_rows is not None
    right = [t[: len(a)] == a for a, t in zip(backed, true, strict=True)]
    exact = [a[-1] in GROUPS for a in backed]
    assert 0 < np.mean(exact) < 1
    assert of_rows.accuracy.value == pytest.approx(np.mean(right))
    assert of_rows.exact.value == pytest.approx(np.mean(exact))
    assert of_rows.reached.value == pytest.approx(np.mean([row.scores[0] >= AT for row in rows]))
    assert of_rows.edges.value == pytest.approx(np.mean([steps(*pair) for pair in zip(backed, true, strict=True)]))


def test_the_group_by_score_is_that_of_the_summed_scores(data: Path, model: str) -> None:
    found = clipcli.evaluate(data, labels=NESTED, model=model, prompts="plain", **FP32)
    assert isinstance(found.runs[0], Run)
    assert found.runs[0].hierarchy is not None
    rows = list(clipcli.classify(data, labels=NESTED, model=model, prompts="plain", top_k=6, **FP32))
    for n, one in enumerate(found.runs[0].hierarchy.levels):
        hits = []
        for row in rows:
            sums: dict[str, float] = {}
            for label, score in zip(row.labels, row.scores, strict=True):
                name = levels(path_of(label))[n]
                sums[name] = sums.get(name, 0) + score
            hits.append(max(sums, key=sums.__getitem__) == levels(path_of(Path(row.path).parent.name))[n])
        assert one.group.value == pytest.approx(np.mean(hits))


def test_files_page_and_terminal_tell_of_the_hierarchy(
    data: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(NESTED))
    flags = ["--labels", str(tmp_path / "labels.json"), "--model", model, "--prompts", "plain", "--back-off", "0.4"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(data), *flags, "-o", str(tmp_path / "out")])
    assert ended.value.code == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["hierarchy"]
    assert [one["level"] for one in found["levels"]] == [1, 2, 3]
    assert set(found) == {
        *(
            "levels",
            "edges",
            "common_height",
            "intervals",
            "edges_of_mistakes",
            "common_height_of_mistakes",
            "back_off",
        ),
    }
    assert found["back_off"]["at"] == 0.4
    low, high = found["intervals"]["edges"]
    assert low <= found["edges"] <= high
    said = capsys.readouterr().out
    assert "steps to the truth" in said
    assert f"{found['edges']:.2f} [{low:.2f}, {high:.2f}]" in said
    assert [line.split()[:2] for line in said.split("level  names")[1].splitlines()[1:4]] == [
        *(["1", "2"], ["2", "4"], ["3", "6"]),
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Right at each level of the hierarchy" in page
    assert f"Backing off at 0.4: {found['back_off']['accuracy']:.1%} of the answers are the true class" in page


def test_a_classifier_brings_its_groups(data: Path, model: str) -> None:
    classifier = clipcli.build_classifier(NESTED, model=model, prompts="plain", **FP32)
    nested = clipcli.evaluate(data, labels=NESTED, model=model, prompts="plain", **FP32).runs[0]
    by_file = clipcli.evaluate(data, classifier=classifier, **FP32).runs[0]
    assert isinstance(nested, Run)
    assert isinstance(by_file, Run)
    assert by_file.hierarchy == nested.hierarchy
    flat: Any = clipcli.evaluate(data, model=model, prompts="plain", **FP32).runs[0]
    assert flat.hierarchy is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"back_off": 0.5}, "back_off needs groups to back off to"),
        ({"labels": NESTED, "taxonomy": "wordnet"}, "the labels nest already"),
    ],
)
def test_what_does_not_fit_is_refused(data: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clipcli.evaluate(data, model="tiny", **given)


def test_captions_have_no_groups(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "captioned"
    folder.mkdir()
    for n, image in enumerate(sorted(data.rglob("*.jpg"))[:3] or sorted(data.rglob("*.png"))[:3]):
        (folder / f"{n}{image.suffix}").write_bytes(image.read_bytes())
        (folder / f"{n}.txt").write_text("a photo\n")
    with pytest.raises(UsageError, match="back_off is for images with labels"):
        clipcli.evaluate(folder, model="tiny", back_off=0.5)
