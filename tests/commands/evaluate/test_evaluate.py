"""The pipeline from labelled images to metrics: what it says is what its files say, counted anew by others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_data import CLASSES, FP32, photograph

import clipcli
from clipcli.backbones.backbone import Backbone
from clipcli.commands.evaluate.run import run
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.errors import (
    BadFile,
    ClipcliError,
    InputNotFound,
    OutputExists,
    UnknownName,
    UsageError,
    WeightsMismatch,
)
from clipcli.events import ImagesEmbedded, InputsFound, Loading, ModelKnown, ModelLoaded, Noted, TimeSpent
from clipcli.images import wanted


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return photograph(tmp_path / "val", seed=0)


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Eight photos with one to three captions each."""
    folder = tmp_path / "captioned"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for n in range(8):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{n}.png")
        (folder / f"{n}.txt").write_text("".join(f"thing {n} seen {m} times\n" for m in range(1 + n % 3)))
    return folder


def test_the_metrics_are_those_of_the_predictions(tree: Path, model: str, tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, classification_report, confusion_matrix

    (tree / "cat" / "bad.jpg").write_text("no image")
    found = clipcli.evaluate(tree, model=model, prompts="plain", output=tmp_path / "out", **FP32)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(table.columns[:4]) == ["path", "truth", "label", "score"]
    assert len(table) == 25
    bad = table[table.error.notna()]
    assert bad[["path", "truth", "error"]].values.tolist() == [[f"{tree}/cat/bad.jpg", "cat", "not an image"]]
    table = table[table.error.isna()]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {"top1", "top5", "mean_per_class_recall", "ece", "nll", "n"} <= set(metrics)
    assert (metrics["n"], metrics["skipped"], found.skipped) == (24, 1, 1)
    assert metrics["top1"] == pytest.approx(accuracy_score(table.truth, table.label))
    best = table[["label", *(f"label_{n}" for n in range(2, 6))]]
    assert metrics["top5"] == pytest.approx(best.eq(table.truth, axis=0).any(axis=1).mean())
    assert metrics["mean_per_class_recall"] == pytest.approx(balanced_accuracy_score(table.truth, table.label))
    assert metrics["nll"] == pytest.approx(-np.log(table.truth_score).mean(), rel=1e-5)
    oracle = classification_report(table.truth, table.label, output_dict=True, zero_division=0)
    for one in metrics["per_class"]:
        expected = oracle[one["label"]]
        assert [one[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
            [expected[key] for key in ("precision", "recall", "f1-score", "support")]
        )
    counts = pd.read_csv(tmp_path / "out" / "confusion.csv", index_col="truth")
    assert list(counts.columns) == list(counts.index) == list(CLASSES)
    assert counts.values.tolist() == confusion_matrix(table.truth, table.label, labels=list(CLASSES)).tolist()
    assert found.metrics == {key: metrics[key] for key in ("top1", "top5", "mean_per_class_recall", "ece", "nll")}


def test_ece_of_the_predictions_is_torchmetrics(tree: Path, model: str, tmp_path: Path) -> None:
    import torch

    oracle = pytest.importorskip("torchmetrics.functional.classification").multiclass_calibration_error
    found = clipcli.evaluate(tree, model=model, prompts="plain", output=tmp_path / "out", **FP32)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv", dtype={"score": np.float32})
    scores = torch.zeros(len(table), 6)
    scores[torch.arange(len(table)), torch.tensor([CLASSES.index(label) for label in table.label])] = torch.tensor(
        table.score.to_numpy()
    )
    truth = torch.tensor([CLASSES.index(label) for label in table.truth])
    assert found.metrics["ece"] == pytest.approx(float(oracle(scores, truth, num_classes=6, n_bins=15)), abs=1e-6)


def test_the_labels_are_those_that_classify_gives(tree: Path, models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(name.replace("_", " ") for name in CLASSES))
    for model in (str(models["vit"]), str(models["sigmoid"])):
        given = {"labels": tmp_path / "labels.txt", "model": model, "prompts": "plain", **FP32}
        rows = list(clipcli.classify(tree, top_k=5, **given))
        out = tmp_path / Path(model).name
        clipcli.evaluate(tree, output=out, **given)
        table = pd.read_csv(out / "predictions.csv")
        assert list(table.path) == [row.path for row in rows]
        assert list(table.label) == [row.labels[0] for row in rows]
        np.testing.assert_allclose(table.score, [row.scores[0] for row in rows], rtol=1e-6)
        np.testing.assert_allclose(table.score_5, [row.scores[4] for row in rows], rtol=1e-6)


def test_train_measures_the_same(tree: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(name.replace("_", " ") for name in CLASSES))
    found = clipcli.evaluate(tree, model=model, prompts="plain", **FP32)
    trained = clipcli.train(
        tree, output=tmp_path / "run", model=model, prompts="plain", zero_shot=str(tree), steps=1, lr=0.0, **FP32
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    [before] = [line for line in lines if line["kind"] == "validation" and line["step"] == 0]
    assert before["zero_shot_top1"] == pytest.approx(found.metrics["top1"])
    assert before["zero_shot_top5"] == pytest.approx(found.metrics["top5"])
    assert trained.step == 1


def test_several_prompts_and_models_with_one_decode(
    tree: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models["vit"], tmp_path / "twin")
    decoded: list[int] = []
    decoding = wanted.decoding_to_resize
    monkeypatch.setattr(wanted, "decoding_to_resize", lambda data, **how: (decoded.append(1), decoding(data, **how))[1])
    names = [str(models["vit"]), str(tmp_path / "twin"), str(models["resnet"])]
    options = EvaluateSettings(data=(("val", str(tree)),), model=tuple(names), prompts=("plain", "name"), **FP32)
    found = clipcli.evaluate(tree, model=names, prompts="plain,name", output=tmp_path / "out", **FP32)
    assert len(decoded) == 24
    assert [(run.model, run.prompts) for run in found.runs] == [(m, p) for m in names for p in ("plain", "name")]
    alone = clipcli.evaluate(tree, model=names[2], prompts="name", **FP32)
    np.testing.assert_allclose(found.runs[-1].predictions.scores, alone.runs[0].predictions.scores, atol=1e-5)
    assert found.runs[0].predictions.scores.tolist() == found.runs[2].predictions.scores.tolist()
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [one["folder"] for one in written["runs"]] == [".", *(f"run-{n}" for n in range(2, 7))]
    assert (tmp_path / "out" / "run-6" / "predictions.csv").is_file()
    assert {one["base"] for one in written["differences"]} == {written["runs"][0]["name"]}
    assert all(one["paired"] for one in written["differences"])
    events = [type(event) for event in run(replace(options, cache=False))]
    assert list(dict.fromkeys(events))[:4] == [Noted, InputsFound, Loading, ModelLoaded]
    assert events.count(ModelLoaded) == 3
    assert ImagesEmbedded in events


def test_images_that_classify_has_seen_are_not_encoded_again(
    tree: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "dog" / "bad.png").write_text("no image")
    list(clipcli.classify(tree, labels=CLASSES, model=model, **FP32))
    fresh = clipcli.evaluate(tree, model=model, prompts="plain,name", cache=False, output=tmp_path / "fresh", **FP32)
    list(clipcli.classify(tree, labels=[name.replace("_", " ") for name in CLASSES], prompts="plain", model=model))
    monkeypatch.setattr(Backbone, "encode_images", lambda *_: pytest.fail("all images were seen before"))
    found = clipcli.evaluate(tree, model=model, prompts="plain,name", output=tmp_path / "again", **FP32)
    assert found.metrics == fresh.metrics
    assert found.skipped == 1
    for name in ("predictions.csv", "metrics.json", "run-2/predictions.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    monkeypatch.setattr(Backbone, "encode_texts", lambda *_: pytest.fail("all prompts were seen before"))
    events = list(run(EvaluateSettings(data=(("val", str(tree)),), model=(model,), prompts=("name", "plain"), **FP32)))
    assert [type(event) for event in events] == [Noted, InputsFound, ModelKnown, ImagesEmbedded, TimeSpent]


def test_only_the_model_that_does_not_remember_an_image_encodes_it(
    tree: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, new = str(models["vit"]), str(models["resnet"])
    list(clipcli.classify(tree / "cat", labels=CLASSES, model=known, **FP32))
    plain = clipcli.evaluate(tree, model=[known, new], cache=False, **FP32)
    encoded: Counter[str] = Counter()
    encode = Backbone.encode_images

    def counted(self: Backbone, pixels: Any) -> Any:
        encoded[self.name] += len(pixels)
        return encode(self, pixels)

    monkeypatch.setattr(Backbone, "encode_images", counted)
    found = clipcli.evaluate(tree, model=[known, new], **FP32)
    assert encoded == {known: 20, new: 24}
    for run_, other in zip(found.runs, plain.runs, strict=True):
        np.testing.assert_allclose(run_.predictions.scores, other.predictions.scores, atol=1e-6)


def test_a_second_evaluation_loads_no_torch(tree: Path, model: str, tmp_path: Path) -> None:
    code = (
        "import sys; from clipcli.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as e: print(e.code, 'torch' in sys.modules, 'open_clip' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "evaluate", tree, "--model", model, "--prompts", "plain,name,imagenet-7"]
    ends = []
    for place in ("one", "two"):
        done = subprocess.run(
            [*map(str, command), "-o", str(tmp_path / place)], capture_output=True, text=True, timeout=300, check=True
        )
        ends.append(done.stdout.splitlines()[-1])
    assert ends == ["0 True True", "0 False False"]
    assert (tmp_path / "one" / "metrics.json").read_bytes() == (tmp_path / "two" / "metrics.json").read_bytes()


def test_retrieval_is_a_brute_force_count(captioned: Path, model: str, tmp_path: Path) -> None:
    import open_clip
    import torch

    (captioned / "bad.png").write_text("no image")
    (captioned / "bad.txt").write_text("nothing to see\n")
    found = clipcli.evaluate(captioned, model=model, output=tmp_path / "out", **FP32)
    loaded, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{model}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{model}")
    pixels = torch.stack([preprocess(Image.open(captioned / f"{n}.png")) for n in range(8)])
    captions = [(n, line) for n in range(8) for line in (captioned / f"{n}.txt").read_text().splitlines()]
    with torch.inference_mode():
        one = loaded.eval().encode_image(pixels, normalize=True)
        two = loaded.encode_text(tokenizer([caption for _, caption in captions]), normalize=True)
    similarity = (one @ two.T).numpy()
    owners = np.array([n for n, _ in captions])
    for k in (1, 5, 10):
        there = np.mean([n in owners[np.argsort(-row, kind="stable")[:k]] for n, row in enumerate(similarity)])
        back = np.mean([owners[m] in np.argsort(-row, kind="stable")[:k] for m, row in enumerate(similarity.T)])
        assert found.metrics[f"image_to_text_recall@{k}"] == pytest.approx(there)
        assert found.metrics[f"text_to_image_recall@{k}"] == pytest.approx(back)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table.error.notna().sum() == found.skipped == 1
    assert (table["rank"] == 1).sum() / 8 == pytest.approx(found.metrics["image_to_text_recall@1"])
    assert table.caption[0] == captions[int(similarity[0].argmax())][1]


def test_a_classifier_names_the_classes(tree: Path, model: str) -> None:
    classifier = clipcli.build_classifier(
        [name.replace("_", " ") for name in CLASSES], model=model, prompts="plain", **FP32
    )
    found = clipcli.evaluate(tree, classifier=classifier, **FP32)
    assert found.metrics == clipcli.evaluate(tree, model=model, prompts="plain", **FP32).metrics
    with pytest.raises(WeightsMismatch):
        clipcli.evaluate(tree, classifier=classifier, model="tiny")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"labels": "labels.txt", "classifier": "c"}, UsageError, "both labels and a classifier were given"),
        ({"classifier": "c.safetensors"}, InputNotFound, "no classifier file"),
        ({"classifier": "c.safetensors", "prompts": "plain"}, UsageError, "a classifier has its prompts in it"),
        (
            {"classifier": "c", "taxonomy": "wordnet"},
            UsageError,
            "a classifier has its groups in it; give taxonomy with",
        ),
        ({"prompts": "plian"}, UnknownName, "unknown prompt set 'plian'; did you mean plain"),
        ({"model": "tinny"}, UnknownName, "unknown model 'tinny'"),
        ({"shots": "4"}, UsageError, "shots are for a linear probe; give linear_probe as well"),
        ({"linear_probe": "val", "shots": "9"}, UsageError, "class 'bear' has 4 images, and expected are 10: 9 to fit"),
        ({"linear_probe": "nowhere"}, InputNotFound, "no such data: nowhere"),
        ({"compare": "nowhere.csv"}, InputNotFound, "cannot read nowhere.csv"),
        ({"compare": "bad.csv"}, BadFile, "no column 'label' among its columns 'path', 'size'"),
        ({"compare": "few.csv"}, BadFile, "no row for 23 of 24 images, such as val/bear/1.png"),
        ({"output": "bad.csv"}, UsageError, "output='bad.csv' is a file, and expected is a folder"),
        ({"output": "there"}, OutputExists, "there/metrics.json exists; give another output, or overwrite=True"),
        ({"output": ""}, UsageError, "output has no name; give a folder"),
        ({"output": "val/out"}, UsageError, "output='val/out' lies in val, where it would be taken for data"),
        ({"compare": "nothing.csv"}, BadFile, "nothing.csv: an empty file; expected a predictions.csv"),
        ({"compare": "twice.csv"}, BadFile, "twice.csv: two rows for the image 'val/bear/0.png'; keep one of them"),
        ({"seeds": 5}, UsageError, "seeds are for the shots of a linear probe; give both, as in shots='1,4,16'"),
        ({"labels": "few.txt"}, BadFile, "no label fits folders 'cow', 'dog', 'red_fox', 'yak'; rename them to labels"),
        ({"labels": "one.txt"}, BadFile, "one.txt: one label only, 'cat'; expected at least two"),
        ({"seeds": 0}, UsageError, "seeds=0 does not fit; give 1 or more"),
    ],
)
@pytest.mark.usefixtures("tree")
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, object],
    error: type[ClipcliError],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("path,size\n")
    Path("few.csv").write_text("path,label\nval/bear/0.png,cat\n")
    Path("nothing.csv").write_text("")
    Path("twice.csv").write_text("path,label\nval/bear/0.png,cat\nval/bear/0.png,bear\n")
    Path("few.txt").write_text("bear\ncat\n")
    Path("one.txt").write_text("cat\n")
    Path("there").mkdir()
    Path("there/metrics.json").write_text("{}")
    with pytest.raises(error) as raised:
        clipcli.evaluate("val", **({"model": "tiny"} | given))  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert Path("there/metrics.json").read_text() == "{}"


def test_mistakes_of_other_kinds(tree: Path, captioned: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="val is for classification, captioned is for retrieval"):
        clipcli.evaluate([tree, captioned], model=model)
    refused: list[dict[str, Any]] = [{"prompts": "plain"}, {"shots": 4}, {"seeds": 3}, {"allow_empty": True}]
    for given in [*refused, {"refine": True}, {"keep_names": True}, {"unknown_folder": "others"}]:
        name = next(iter(given))
        with pytest.raises(UsageError, match=rf"^{name}(=True)? is for images with labels, and .* the classes with la"):
            clipcli.evaluate(captioned, model=model, **given)
    other = tmp_path / "other.csv"
    other.write_text("path,label\n" + "".join(f"{path},zebu\n" for path in sorted(tree.rglob("*.png"))))
    with pytest.raises(BadFile, match="its labels, such as 'zebu', are none of 'bear', 'cat'"):
        clipcli.evaluate(tree, model=model, prompts="plain", compare=other)
    for path in tree.rglob("*.png"):
        path.write_text("no image")
    with pytest.raises(UsageError, match=r"no image can be read, such as .*bear/0.png: not an image"):
        clipcli.evaluate(tree, model=model, prompts="plain")
