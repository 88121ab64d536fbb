"""Architectures by name and by file, and new models of them, as open_clip makes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory

from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.load import initialise
from clipcli.backbones.open_clip_folder import from_open_clip, to_open_clip
from clipcli.backbones.runtime import choose_runtime
from clipcli.errors import BadFile, InputNotFound, UnknownName, UsageError

RUNTIME = choose_runtime(device="cpu", precision="fp32")
VIT: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test makes known to open_clip is unknown after it."""
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))


def written(path: Path, content: Any) -> Path:
    """A file of JSON."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def stated(folder: Path, part: str) -> dict[str, Any]:
    """A part of a saved model's configuration."""
    return json.loads((folder / "open_clip_config.json").read_text())[part]


def new(architecture: Architecture, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """The weights of a new model under the names of `Towers`."""
    torch.manual_seed(seed)
    return initialise(architecture, runtime=RUNTIME).towers.state_dict()


def test_a_name_that_open_clip_knows() -> None:
    found = find_architecture("ViT-B-32")
    assert found == Architecture(
        name="ViT-B-32", model_cfg=open_clip.get_model_config("ViT-B-32"), preprocess_cfg={}, tokenizer="ViT-B-32"
    )
    assert not hasattr(found, "weights")


def test_a_configuration_in_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "my tiny-vit.json", VIT)
    found = find_architecture(str(path))
    assert found == Architecture(name="my tiny-vit", model_cfg=VIT, preprocess_cfg={}, tokenizer="my tiny-vit")
    backbone = initialise(found, runtime=RUNTIME)
    assert backbone.tokenizer(["a cat"]).shape == (1, 32)
    assert backbone.preprocessing.size == (32, 32)
    assert (backbone.dimensions, backbone.score, backbone.fingerprint) == (16, "softmax", "")


def test_a_file_may_be_named_from_here_and_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "at-home.json", VIT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_architecture("at-home.json").model_cfg == find_architecture("~/at-home.json").model_cfg == VIT


@pytest.mark.parametrize("name", ["resnet", "sigmoid"])
def test_the_configuration_of_a_saved_model(models: dict[str, Path], name: str) -> None:
    found = find_architecture(str(models[name] / "open_clip_config.json"))
    assert found == Architecture(
        name=name,
        model_cfg=stated(models[name], "model_cfg"),
        preprocess_cfg=stated(models[name], "preprocess_cfg"),
        tokenizer=f"local-dir:{models[name]}",
    )
    preprocessing = initialise(found, runtime=RUNTIME).preprocessing
    assert list(preprocessing.mean) == found.preprocess_cfg["mean"]
    assert preprocessing.interpolation == found.preprocess_cfg["interpolation"]


@pytest.mark.parametrize("name", ["ViT-B32", "vit-b-32"])
def test_an_unknown_name_comes_with_the_nearest_ones(name: str) -> None:
    says = f"^unknown architecture '{name}'; did you mean ViT-B-32 .*clipcli models lists them"
    with pytest.raises(UnknownName, match=says):
        find_architecture(name)


@pytest.mark.parametrize("name", ["missing.json", "folder.json", "folder.json/open_clip_config.json"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputNotFound, match=f"^cannot read {tmp_path / name}: .*; check the path after --arch$"):
        find_architecture(str(tmp_path / name))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "is not a model configuration; it needs a number embed_dim, and tables vision_cfg, text_cfg"),
        (b'{"embed_dim": 16, "vision_cfg": {}}', "is not a model configuration"),
        (b'{"embed_dim": 16, "vision_cfg": 3, "text_cfg": {}}', "is not a model configuration"),
        (b'{"embed_dim": 16, "vision_cfg": {}, "text_cfg": null}', "is not a model configuration"),
    ],
)
def test_a_file_that_holds_no_configuration_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad-configuration.json"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=f"^{path} {says}"):
        find_architecture(str(path))


def test_a_saved_models_configuration_that_is_none_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "open_clip_config.json", VIT)
    with pytest.raises(BadFile, match=f"^{path} is not an open_clip configuration"):
        find_architecture(str(path))


@pytest.mark.parametrize(
    "change", [{"vision_cfg": {**VIT["vision_cfg"], "layer": 1}}, {"text_cfg": {**VIT["text_cfg"], "width": "wide"}}]
)
def test_a_configuration_that_open_clip_cannot_build_is_an_error_of_use(tmp_path: Path, change: dict[str, Any]) -> None:
    found = find_architecture(str(written(tmp_path / "unbuildable.json", {**VIT, **change})))
    with pytest.raises(UsageError, match="open_clip cannot build this model_cfg"):
        initialise(found, runtime=RUNTIME)


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_a_new_model_is_the_one_that_open_clip_makes(models: dict[str, Path], name: str, tmp_path: Path) -> None:
    found = find_architecture(str(models[name] / "open_clip_config.json"))
    config = written(tmp_path / f"new-{name}.json", stated(models[name], "model_cfg"))
    open_clip.add_model_config(config)
    torch.manual_seed(3)
    theirs = open_clip.create_model(f"new-{name}").state_dict()
    ours = new(found, seed=3)
    renamed = to_open_clip(ours, found.model_cfg)
    assert {key: t.shape for key, t in renamed.items()} == {key: t.shape for key, t in theirs.items()}
    assert {t.dtype for t in ours.values() if t.is_floating_point()} == {torch.float32}
    # The same generator gives the same numbers, so the weights are drawn as open_clip draws them.
    assert [key for key in theirs if not torch.equal(renamed[key], theirs[key])] == []
    assert from_open_clip(renamed).keys() == ours.keys()


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_weights_are_a_function_of_the_seed(models: dict[str, Path], name: str) -> None:
    found = find_architecture(str(models[name] / "open_clip_config.json"))
    first, again, other = (new(found, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = {key for key in first if first[key].ndim > 1 and first[key].std() > 0}
    assert len(drawn) > 5
    assert all(not torch.equal(first[key], other[key]) for key in drawn)


@pytest.mark.parametrize(
    ("change", "scale", "bias"),
    [
        ({}, 1 / 0.07, None),
        ({"init_logit_bias": -10}, 1 / 0.07, -10.0),
        ({"init_logit_scale": math.log(10), "init_logit_bias": -10}, 10, -10.0),
        ({"nonscalar_logit_scale": True}, 1 / 0.07, None),
    ],
)
def test_the_temperature_and_bias_start_where_the_configuration_says(
    tmp_path: Path, change: dict[str, Any], scale: float, bias: float | None
) -> None:
    found = find_architecture(str(written(tmp_path / "temperature.json", {**VIT, **change})))
    backbone = initialise(found, runtime=RUNTIME)
    assert backbone.towers.logit_scale.item() == pytest.approx(math.log(scale))
    assert backbone.logit_scale == pytest.approx(scale)
    assert (backbone.logit_bias, backbone.score) == (bias, "softmax" if bias is None else "sigmoid")


def test_openais_own_spelling_is_an_architecture() -> None:
    assert find_architecture("ViT-B/32") == find_architecture("ViT-B-32")
