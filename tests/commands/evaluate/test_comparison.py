"""Runs compared: with each other, with other predictions and with linear probes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_data import CLASSES, FP32, photograph

import clipcli
from clipcli.commands.evaluate.run import run
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.tables import table_of_differences
from clipcli.errors import BadFile, OutputExists
from clipcli.events import Event, ImagesEmbedded, ProbeFitted, Warned, result_of
from clipcli.outputs import WRITERS
from clipcli.outputs.open import Output
from clipcli.records import Row
from clipcli.scoring.schema import Schema


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return photograph(tmp_path / "val", seed=0)


def warned(options: EvaluateSettings) -> list[str]:
    """All that an evaluation warns about."""
    return [event.message for event in run(options) if isinstance(event, Warned)]


def test_several_data_are_paired_where_their_images_are_the_same(tree: Path, model: str, tmp_path: Path) -> None:
    sketches = photograph(tmp_path / "sketches", seed=5)
    others = photograph(tmp_path / "others", seed=6, images_per_class=2)
    data = {"photos": tree, "sketches": sketches, "others": others}
    found = clipcli.evaluate(data, model=model, prompts="plain", **FP32)
    top1 = [one for one in found.differences if one.metric == "top1"]
    assert [(one.run, one.base, one.paired) for one in top1] == [
        ("sketches", "photos", True),
        ("others", "photos", False),
    ]
    assert (top1[1].images, top1[1].base_images) == (12, 24)
    first, second = found.runs[0].predictions.correct, found.runs[1].predictions.correct
    assert top1[0].estimate.value == pytest.approx(second.mean() - first.mean())
    assert top1[0].estimate.low <= top1[0].estimate.value <= top1[0].estimate.high


def test_compare_with_other_predictions(tree: Path, model: str, tmp_path: Path) -> None:
    base = clipcli.evaluate(tree, model=model, prompts="plain", output=tmp_path / "a", **FP32)
    table = pd.read_csv(tmp_path / "a" / "predictions.csv")
    corrected = table.assign(label=table.truth.str.replace("_", " "))[["path", "label", "score"]]
    corrected.loc[0, "label"] = None
    corrected.sample(frac=1, random_state=0).to_csv(tmp_path / "other.csv", index=False)
    found = clipcli.evaluate(tree, model=model, prompts="plain", compare=tmp_path / "other.csv", **FP32)
    [one] = found.differences
    right = base.runs[0].predictions.correct[1:]
    assert (one.images, one.paired) == (23, True)
    assert one.estimate.value == pytest.approx(right.mean() - 1)
    draws = np.random.default_rng(0).integers(23, size=(1000, 23))
    low, high = np.quantile(right[draws].mean(axis=1) - 1, [0.025, 0.975])
    assert (one.estimate.low, one.estimate.high) == pytest.approx((low, high))


@pytest.mark.parametrize("format", WRITERS)
def test_compare_with_what_classify_wrote(tree: Path, model: str, tmp_path: Path, format: str) -> None:
    base = clipcli.evaluate(tree, model=model, prompts="plain", output=tmp_path / "a", **FP32)
    rows = list(clipcli.classify(tree, labels=CLASSES, model=model, prompts="{}", top_k=2, **FP32))
    rows[0] = Row(rows[0].path, (), (), "truncated")
    with Output(str(tmp_path / "other"), format=format, schema=Schema(top_k=2)) as output:
        output.write(rows)
    found = clipcli.evaluate(tree, model=model, prompts="plain", compare=tmp_path / "other", **FP32)
    [one] = found.differences
    other = {row.path: row.labels[0].replace("_", " ") for row in rows[1:]}
    truth = pd.read_csv(tmp_path / "a" / "predictions.csv").set_index("path").truth.str.replace("_", " ")
    theirs = np.mean([truth[path] == label for path, label in other.items()])
    paths = [entry.id for entry in base.runs[0].images.entries]
    right = base.runs[0].predictions.correct[[path in other for path in paths]]
    assert (one.images, one.paired) == (23, True)
    assert one.estimate.value == pytest.approx(right.mean() - theirs)


def test_an_output_that_was_cut_is_not_compared_with(tree: Path, model: str, tmp_path: Path) -> None:
    paths = sorted(map(str, tree.rglob("*.png")))
    path = tmp_path / "other.jsonl"
    with Output(str(path), format="jsonl", schema=Schema()) as output:
        output.write([Row(one, ("bear",), (0.5,)) for one in paths])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadFile, match="holds something that is no row"):
        clipcli.evaluate(tree, model=model, prompts="plain", compare=path, **FP32)


def test_linear_probes(tree: Path, model: str, tmp_path: Path) -> None:
    train = photograph(tmp_path / "train", seed=7, images_per_class=6)
    given = {"model": model, "prompts": "plain", "linear_probe": train, "shots": "1,2,full", "seeds": 2, **FP32}
    found = clipcli.evaluate(tree, output=tmp_path / "out", **given)
    assert [(probe.shots, len(probe.metrics["top1"])) for probe in found.probes] == [(1, 2), (2, 2), (None, 1)]
    full = found.probes[2]
    assert full.intervals["top1"].low <= full.metrics["top1"][0] <= full.intervals["top1"].high
    assert full.metrics["top1"][0] > found.metrics["top1"]
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())["linear_probes"]
    assert [one["shots"] for one in written] == [1, 2, None]
    again = clipcli.evaluate(tree, **given)
    assert [probe.metrics for probe in again.probes] == [probe.metrics for probe in found.probes]
    (train / "loose.png").write_text("no image")
    options = EvaluateSettings(data=(("v", str(tree)),), model=(model,), linear_probe=str(train), **FP32)
    events = list(run(options))
    assert [event.done for event in events if isinstance(event, ProbeFitted)] == [1]
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert warned == [f"1 images of {train} cannot be used for the linear probe"]


def test_a_difference_is_over_the_images_that_both_have(tree: Path, model: str, tmp_path: Path) -> None:
    sketches = photograph(tmp_path / "sketches", seed=5)
    (tree / "bear" / "0.png").write_text("no image")
    (sketches / "yak" / "3.png").unlink()
    found = clipcli.evaluate({"photos": tree, "sketches": sketches}, model=model, prompts="plain", **FP32)
    [one] = [one for one in found.differences if one.metric == "top1"]
    assert (one.paired, one.by_name, one.images, one.base_images) == (True, True, 22, 22)
    right = [dict(zip(r.images.keys, r.predictions.correct.tolist(), strict=True)) for r in found.runs]
    common = sorted(set(right[0]) & set(right[1]))
    gain = np.array([float(right[1][key]) - float(right[0][key]) for key in common])
    assert one.estimate.value == pytest.approx(gain.mean())
    low, high = np.quantile(gain[np.random.default_rng(0).integers(22, size=(1000, 22))].mean(axis=1), [0.025, 0.975])
    assert (one.estimate.low, one.estimate.high) == pytest.approx((low, high))
    columns, *rows = table_of_differences(found)
    assert columns[-1] == "images"
    assert {row[-1] for row in rows} == {"paired by name, 22 images"}


def test_other_predictions_with_labels_that_are_no_class(tree: Path, model: str, tmp_path: Path) -> None:
    paths = sorted(map(str, tree.rglob("*.png")))
    other = ["zebu" if n % 5 == 0 else "bear" for n in range(len(paths))]
    (tmp_path / "other.csv").write_text(
        "path,label\n" + "".join(f"{p},{t}\n" for p, t in zip(paths, other, strict=True))
    )
    options = EvaluateSettings(
        data=(("v", str(tree)),), model=(model,), prompts=("plain",), compare=str(tmp_path / "other.csv"), **FP32
    )
    assert warned(options) == [f"{tmp_path}/other.csv: no class is called 'zebu'; such labels count as wrong"]


def test_few_shots_are_the_same_whatever_else_is_asked_for(tree: Path, model: str, tmp_path: Path) -> None:
    train = photograph(tmp_path / "train", seed=7, images_per_class=30)
    options = EvaluateSettings(
        data=(("v", str(tree)),),
        model=(model,),
        prompts=("plain",),
        linear_probe=str(train),
        shots=(1,),
        seeds=4,
        **FP32,
    )
    found, embedded = [], []
    for shots in ((1,), (1, None)):
        events: list[Event] = []
        found.append(result_of(run(replace(options, shots=shots)), show=events.append).probes[0].metrics)
        embedded.append(max(event.total for event in events if isinstance(event, ImagesEmbedded)))
    assert embedded[0] <= 24 + 6 * 4 * 2
    assert embedded[1] == 24 + 6 * 30
    for key, values in found[0].items():
        assert values == pytest.approx(found[1][key], abs=1e-4)


def test_images_that_cannot_be_read_are_drawn_again(tree: Path, model: str, tmp_path: Path) -> None:
    train = photograph(tmp_path / "train", seed=7, images_per_class=8)
    for path in sorted((train / "cat").glob("*.png"))[:3]:
        path.write_text("no image")
    found = clipcli.evaluate(
        tree, model=model, prompts="plain", linear_probe=train, shots="2,full", seeds=6, output=tmp_path / "out", **FP32
    )
    assert [len(one.metrics["top1"]) for one in found.probes] == [6, 1]
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [one["seeds"] for one in written["linear_probes"]] == [[0, 1, 2, 3, 4, 5], [0]]
    assert set(written["made_with"]) == {"clipcli", "device", "precision"}
    assert len(written["weights"]) >= 32


def test_a_probe_that_has_seen_the_images_is_warned_about(tree: Path, model: str, tmp_path: Path) -> None:
    train = photograph(tmp_path / "train", seed=7)
    shutil.copytree(train / "cat", train / "red fox")
    shutil.copytree(tree / "cat", tree / "red fox")
    given = {"data": (("v", str(tree)),), "model": (model,), "prompts": ("plain",), **FP32}
    same = "'red fox', 'red_fox' are separate classes with the same prompts"
    messages = warned(EvaluateSettings(linear_probe=f"{tree}/.", **given))
    assert len(messages) == 2
    assert messages[0].startswith(same)
    assert messages[1].startswith(
        f"28 of 28 images of v are also in {tree}/.: the linear probe's figures there are too"
    )
    assert not any("also in" in message for message in warned(EvaluateSettings(linear_probe=str(train), **given)))


def test_an_image_with_two_labels_is_warned_about(tree: Path, model: str) -> None:
    rows = [f"{label}/0.png,{label}" for label in CLASSES]
    (tree / "t.csv").write_text("\n".join(["path,label", *rows, "bear/0.png,yak"]) + "\n")
    options = EvaluateSettings(data=(("t", f"{tree}/t.csv"),), model=(model,), prompts=("plain",), **FP32)
    assert warned(options) == [f"{tree}/t.csv: {tree}/bear/0.png has the labels 'bear', 'yak'; each counts as an image"]


def test_files_of_an_evaluation_before_do_not_stay(tree: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    clipcli.evaluate(tree, model=model, prompts="plain,name", output=out, **FP32)
    for name in ("notes.txt", "run-2/notes.txt", "run-x/predictions.csv"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    for name in ("predictions.csv", "confusion.csv", "metrics.json", "report.html"):
        (out / name).unlink()
    with pytest.raises(OutputExists, match=r"run-2/predictions\.csv exists; give another output, or overwrite=True"):
        clipcli.evaluate(tree, model=model, prompts="plain", output=out, **FP32)
    clipcli.evaluate(tree, model=model, prompts="plain,name", output=out, overwrite=True, **FP32)
    (out / "run-3").mkdir()
    (out / "run-3" / "confusion.csv").write_text("")
    captioned = tmp_path / "captioned"
    captioned.mkdir()
    for n in range(2):
        shutil.copy(tree / "cat" / f"{n}.png", captioned / f"{n}.png")
        (captioned / f"{n}.txt").write_text(f"cat {n}\n")
    clipcli.evaluate(captioned, model=model, output=out, overwrite=True, **FP32)
    there = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert there == [
        *("metrics.json", "notes.txt", "predictions.csv", "report.html", "run-2/notes.txt", "run-x/predictions.csv")
    ]
    assert not (out / "run-3").exists()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "“cat 0”" in page
    assert "“cat 1”" in page
