"""A classifier's file holds all that the classifier does, and says so to other programs."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from clipcli.classes.tree import Tree
from clipcli.errors import BadFile, InputNotFound, OutputFailed
from clipcli.memory.classes import RECIPE
from clipcli.scoring.calibration import Calibration, Quality
from clipcli.scoring.classifier import Classifier

CLASSIFIER = Classifier(
    class_embeddings=np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32),
    labels=("cat", "猫", 'a "big", dog', "cat"),
    model="ViT-B-32/openai",
    fingerprint="0f" * 32,
    prompts="imagenet",
    precision="fp32",
    logit_scale=99.99999237060547,
    logit_bias=None,
    score="softmax",
)
SIGLIP = replace(CLASSIFIER, logit_bias=-12.932, score="sigmoid", precision="bf16", prompts="a {}")

CALIBRATION = Calibration(
    temperature=1.2345,
    biases=(0.5, -0.25, 0.0, 1.0),
    images=50,
    labels=3,
    before=Quality(ece=0.2, ece_low=0.1, ece_high=0.3, top1=0.5, nll=1.5),
    after=Quality(ece=0.05, ece_low=0.0, ece_high=0.1, top1=0.6, nll=1.25),
)
CALIBRATED = replace(CLASSIFIER, calibration=CALIBRATION)
WITHOUT_BIASES = replace(SIGLIP, calibration=replace(CALIBRATION, biases=None))


@pytest.mark.parametrize("classifier", [CLASSIFIER, SIGLIP, CALIBRATED, WITHOUT_BIASES])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, classifier: Classifier) -> None:
    path = tmp_path / "pets.classifier"
    classifier.save(path)
    loaded = Classifier.load(path)
    for field in fields(Classifier):
        if field.name != "class_embeddings":
            assert getattr(loaded, field.name) == getattr(classifier, field.name)
    np.testing.assert_array_equal(loaded.class_embeddings, classifier.class_embeddings)
    assert loaded.class_embeddings.dtype == np.float32


def test_a_hierarchy_is_in_the_file_and_in_the_digest(tmp_path: Path) -> None:
    tree = Tree((("animal",), ("animal", "猫s"), (), ()))
    nested = replace(CLASSIFIER, tree=tree)
    nested.save(tmp_path / "x")
    loaded = Classifier.load(tmp_path / "x")
    assert loaded.tree == tree
    assert loaded.digest() == nested.digest() != CLASSIFIER.digest()
    CLASSIFIER.save(tmp_path / "y")
    assert Classifier.load(tmp_path / "y").tree is None
    with safe_open(tmp_path / "y", framework="numpy") as file:
        assert "tree" not in file.metadata()


def test_a_hierarchy_of_other_labels_is_an_error(tmp_path: Path) -> None:
    replace(CLASSIFIER, tree=Tree((("animal",), ("animal",)))).save(tmp_path / "x")
    with pytest.raises(BadFile, match="its groups and labels do not fit; make it anew"):
        Classifier.load(tmp_path / "x")


def test_a_path_may_be_a_text_and_a_file_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "pets.classifier")
    CLASSIFIER.save(path)
    SIGLIP.save(path)
    assert Classifier.load(path).logit_bias == SIGLIP.logit_bias
    assert [p.name for p in tmp_path.iterdir()] == ["pets.classifier"]


def test_embeddings_that_are_a_view_are_saved_as_they_look(tmp_path: Path) -> None:
    view = replace(CLASSIFIER, class_embeddings=CLASSIFIER.class_embeddings.T[:4])
    view.save(tmp_path / "x")
    np.testing.assert_array_equal(Classifier.load(tmp_path / "x").class_embeddings, view.class_embeddings)


def test_the_digest_is_of_the_embeddings_and_the_rest(tmp_path: Path) -> None:
    CLASSIFIER.save(tmp_path / "x")
    digest = CLASSIFIER.digest()
    assert Classifier.load(tmp_path / "x").digest() == digest
    embeddings = CLASSIFIER.class_embeddings.copy()
    embeddings[-1, -1] += 1
    others = {replace(CLASSIFIER, class_embeddings=embeddings).digest(), replace(CLASSIFIER, prompts="other").digest()}
    assert len(digest) == 64
    assert len({digest, *others}) == 3


def test_the_digest_is_of_the_calibration_too() -> None:
    digests = {one.digest() for one in (CLASSIFIER, CALIBRATED, replace(CLASSIFIER, calibration=None))}
    assert digests == {CLASSIFIER.digest(), CALIBRATED.digest()}
    other = replace(CALIBRATED, calibration=replace(CALIBRATION, temperature=1.5))
    assert len({*digests, other.digest()}) == 3


def test_a_calibration_that_does_not_fit_the_labels_is_refused(tmp_path: Path) -> None:
    replace(CALIBRATED, calibration=replace(CALIBRATION, biases=(0.5, 0.5))).save(tmp_path / "x")
    with pytest.raises(BadFile, match="its calibration does not fit"):
        Classifier.load(tmp_path / "x")


def test_any_safetensors_reader_finds_the_tensor_and_the_metadata(tmp_path: Path) -> None:
    SIGLIP.save(tmp_path / "x")
    with safe_open(tmp_path / "x", framework="numpy") as file:
        assert list(file.keys()) == ["class_embeddings"]
        metadata = {key: json.loads(value) for key, value in file.metadata().items()}
        assert "猫" in file.metadata()["labels"]
    assert metadata == {
        "labels": list(SIGLIP.labels),
        "model": "ViT-B-32/openai",
        "fingerprint": "0f" * 32,
        "prompts": "a {}",
        "precision": "bf16",
        "logit_scale": 99.99999237060547,
        "logit_bias": -12.932,
        "score": "sigmoid",
        "recipe": RECIPE,
    }


def test_a_model_in_a_folder_whose_name_is_not_utf8_can_be_saved(tmp_path: Path) -> None:
    odd = replace(CLASSIFIER, model=os.fsdecode(b"/models/\xff"))
    odd.save(tmp_path / "x")
    assert Classifier.load(tmp_path / "x").labels == odd.labels


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 100])
def test_a_file_of_another_kind_is_not_a_classifier(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadFile, match="not a clipcli classifier"):
        Classifier.load(tmp_path / "x")


def test_a_file_that_is_cut_short_is_not_a_classifier(tmp_path: Path) -> None:
    CLASSIFIER.save(tmp_path / "x")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-1])
    with pytest.raises(BadFile, match="not a clipcli classifier"):
        Classifier.load(tmp_path / "x")


def _metadata(**changes: object) -> dict[str, str]:
    values = {f.name: getattr(CLASSIFIER, f.name) for f in fields(Classifier) if f.name != "class_embeddings"}
    return {key: json.dumps(value) for key, value in {**values, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("shape", "dtype", "changes"),
    [
        ((4, 8), np.float32, {"labels": ...}),
        ((4, 8), np.float32, {"model": ...}),
        ((4, 8), np.float32, {"labels": 4}),
        ((4, 8), np.float32, {"labels": ["cat"]}),
        ((4, 8), np.float16, {}),
        ((4, 8), np.float64, {}),
        ((4,), np.float32, {}),
        ((4, 8, 1), np.float32, {}),
    ],
)
def test_safetensors_that_do_not_fit_are_not_a_classifier(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, changes: dict[str, object]
) -> None:
    save_file({"class_embeddings": np.zeros(shape, dtype)}, tmp_path / "x", metadata=_metadata(**changes))
    with pytest.raises(BadFile):
        Classifier.load(tmp_path / "x")


def test_the_weights_of_a_model_are_not_a_classifier(tmp_path: Path) -> None:
    save_file({"visual.proj": np.zeros((2, 2), np.float32)}, tmp_path / "x")
    with pytest.raises(BadFile, match="build-classifier"):
        Classifier.load(tmp_path / "x")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputNotFound, match="build-classifier"):
            Classifier.load(path)


def test_a_place_that_cannot_be_written_is_an_output_that_failed(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="cannot write"):
        CLASSIFIER.save(tmp_path / "missing" / "x")
