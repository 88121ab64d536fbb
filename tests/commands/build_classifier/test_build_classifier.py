"""Class embeddings: the recipe, and a cache that encodes each class once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import clipcli
from clipcli.backbones.backbone import Backbone
from clipcli.commands.build_classifier.run import run
from clipcli.commands.build_classifier.settings import BuildClassifierSettings
from clipcli.errors import ClipcliWarning, UsageError
from clipcli.events import ClassesEncoded, Event, Warned
from clipcli.memory.cache import Cache


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every text that the model encodes."""
    texts: list[str] = []
    original = Backbone.encode_texts

    def spy(self: Backbone, batch: Sequence[str]) -> torch.Tensor:
        texts.extend(batch)
        return original(self, batch)

    monkeypatch.setattr(Backbone, "encode_texts", spy)
    return texts


def events_of(labels: Sequence[str] | Path, model: str) -> list[Event]:
    """What a build says."""
    return list(run(BuildClassifierSettings(labels, prompts="plain", model=model, device="cpu", precision="fp32")))


def test_aliases_templates_and_descriptions_are_averaged(model: str, tmp_path: Path, encoded: list[str]) -> None:
    (tmp_path / "labels.csv").write_text("label,aliases,description\ncat,tabby;kitty,it purrs\n")
    (tmp_path / "prompts.txt").write_text("a {}.\nthe {}!\n")
    classifier = clipcli.build_classifier(
        tmp_path / "labels.csv", prompts=str(tmp_path / "prompts.txt"), model=model, precision="fp32"
    )
    prompts = ["a cat.", "the cat!", "a tabby.", "the tabby!", "a kitty.", "the kitty!", "it purrs"]
    assert sorted(encoded) == sorted(prompts)
    each = [clipcli.build_classifier([p], prompts="name", model=model, precision="fp32") for p in prompts]
    mean = np.mean([c.class_embeddings[0] for c in each], axis=0)
    np.testing.assert_allclose(classifier.class_embeddings[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_one_more_label_encodes_one_label(model: str, encoded: list[str]) -> None:
    many = [f"thing {n}" for n in range(30)]
    before = clipcli.build_classifier(many, prompts="plain", model=model)
    encoded.clear()
    after = clipcli.build_classifier(["new", *many], prompts="plain", model=model)
    assert encoded == ["a photo of a new."]
    np.testing.assert_array_equal(after.class_embeddings[1:], before.class_embeddings)


def test_a_label_twice_is_encoded_once_and_warned_about(model: str, encoded: list[str]) -> None:
    events = events_of(["crane", "cat", "crane"], model)
    assert [e.message for e in events if isinstance(e, Warned)] == [
        "1 label is given several times, 'crane': made one class; --keep-duplicates keeps them apart"
    ]
    assert len(encoded) == 2


def test_nothing_is_encoded_and_no_text_tower_built_when_all_is_cached(
    model: str, photos: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clipcli.build_classifier(["cat", "dog"], model=model)
    encoded.clear()
    monkeypatch.setattr("open_clip.model._build_text_tower", None)
    assert len(list(clipcli.classify(photos, labels=["dog", "cat"], model=model))) == 6
    assert encoded == []


def test_building_needs_no_image_tower(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_clip.model._build_vision_tower", None)
    assert clipcli.build_classifier(["cat"], model=model).class_embeddings.shape == (1, 16)


@pytest.mark.parametrize(
    "change", [{"prompts": "plain"}, {"precision": "bf16"}, {"model": "resnet"}, {"labels": ["Cat", "dog"]}]
)
def test_whatever_changes_an_embedding_changes_its_key(
    models: dict[str, Path], change: dict, encoded: list[str]
) -> None:
    options = {"labels": ["cat"], "prompts": "imagenet-7", "model": "vit", "precision": "fp32"}

    def build(*, labels: list[str], model: str, **rest: str) -> None:
        clipcli.build_classifier(labels, model=str(models[model]), **rest)

    build(**options)
    encoded.clear()
    build(**options)
    assert encoded == []
    build(**(options | change))
    assert encoded != []


def test_without_the_cache_nothing_is_read_or_written(model: str, encoded: list[str]) -> None:
    for _ in range(2):
        clipcli.build_classifier(["cat"], prompts="plain", model=model, cache=False)
    assert encoded == ["a photo of a cat."] * 2
    assert not Cache().path.exists()


def test_an_unusable_cache_is_warned_about_and_left_alone(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPCLI_CACHE", str(tmp_path / "file"))
    warnings = [event.message for event in events_of(["cat", "dog"], model) if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert warnings[0].endswith("going on without it")
    assert clipcli.build_classifier(["cat"], model=model).labels == ("cat",)


def test_an_interrupted_build_keeps_what_was_encoded(model: str, encoded: list[str]) -> None:
    labels = [f"thing {n}" for n in range(20)]
    for event in run(BuildClassifierSettings(labels, model=model, device="cpu", precision="fp32")):
        if isinstance(event, ClassesEncoded) and event.done > event.cached:
            done = event.done
            break
    encoded.clear()
    clipcli.build_classifier(labels, model=model, device="cpu", precision="fp32")
    assert 0 < done < 20
    assert len(encoded) == (20 - done) * 80


def test_the_classifier_says_what_it_was_made_with(models: dict[str, Path]) -> None:
    softmax = clipcli.build_classifier(["cat"], prompts="pets", model=str(models["vit"]), precision="fp32")
    sigmoid = clipcli.build_classifier(["cat"], model=str(models["sigmoid"]))
    assert (softmax.labels, softmax.prompts, softmax.precision) == (("cat",), "pets", "fp32")
    assert (softmax.score, softmax.logit_bias) == ("softmax", None)
    assert softmax.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)
    assert sigmoid.score == "sigmoid"
    assert sigmoid.logit_bias == pytest.approx(-10, abs=0.3)
    assert len({softmax.fingerprint, sigmoid.fingerprint}) == 2


def test_one_class_alone_is_warned_about(model: str, models: dict[str, Path]) -> None:
    with pytest.warns(ClipcliWarning, match="one class alone scores 1 on every image"):
        clipcli.build_classifier("cat", model=model)
    for labels, name in (("cat, dog", model), ("cat", str(models["sigmoid"]))):
        warned = [event.message for event in events_of(labels, name) if isinstance(event, Warned)]
        assert not any("one class" in message for message in warned)


def test_standard_input_is_labels_or_images_to_refine_on() -> None:
    with pytest.raises(UsageError, match="standard input is either the labels or a list of images"):
        clipcli.build_classifier("-", refine_on="-")
