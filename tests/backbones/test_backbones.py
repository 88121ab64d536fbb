"""Weights from every origin: all of them loaded, or an error that says what is wrong."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from places import ROOT
from safetensors.torch import load_file, save_file

import clipcli
from clipcli import backbones
from clipcli.backbones import tags
from clipcli.backbones.bundled import BUNDLED
from clipcli.backbones.bundled import folder as folder_of
from clipcli.backbones.catalogue import all_models, count_parameters, published_parameters
from clipcli.backbones.checkpoint import Checkpoint
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.errors import BadFile, ClipcliError, ModelUnavailable, UnknownName, UnsafeWeights, WeightsMismatch
from clipcli.events import result_of

FP32 = choose_runtime(device="cpu", precision="fp32")


def checkpoint_of(model: str) -> Checkpoint:
    """The checkpoint behind what `--model` takes."""
    return result_of(backbones.find(model)())


@pytest.fixture
def folder(models: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the ViT's directory, to spoil."""
    return Path(shutil.copytree(models["vit"], tmp_path / "model"))


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_every_weight_is_the_checkpoints(models: dict[str, Path], name: str) -> None:
    state = load_file(models[name] / "open_clip_model.safetensors")
    loaded = load(checkpoint_of(str(models[name])), runtime=FP32).towers.state_dict()
    for key, value in state.items():
        ours = loaded[key] if key in loaded else loaded[f"text.{key}"]
        torch.testing.assert_close(ours, value, rtol=0, atol=0)
    assert len(loaded) == len(state)


def test_buffers_that_are_not_saved_are_built(models: dict[str, Path]) -> None:
    mask = load(checkpoint_of(str(models["vit"])), runtime=FP32).towers.text.attn_mask
    torch.testing.assert_close(mask, torch.full((32, 32), float("-inf")).triu_(1))


def test_preprocessing_is_what_the_checkpoint_states(models: dict[str, Path]) -> None:
    stated = load(checkpoint_of(str(models["sigmoid"])), runtime=FP32).preprocessing
    assert (stated.size, stated.resize_mode, stated.mean, stated.std) == ((160, 160), "squash", (0.5,) * 3, (0.5,) * 3)
    stated = load(checkpoint_of(str(models["resnet"])), runtime=FP32).preprocessing
    assert (stated.size, stated.interpolation, stated.mean) == ((64, 64), "bilinear", (0.48, 0.46, 0.41))


def spoil_missing(state: dict[str, Any]) -> None:
    del state["visual.conv1.weight"]


def spoil_surplus(state: dict[str, Any]) -> None:
    state["visual.extra.weight"] = torch.zeros(3)


def spoil_shape(state: dict[str, Any]) -> None:
    state["visual.positional_embedding"] = torch.zeros(5, 32)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, r"1 missing \(visual\.conv1\.weight\)"),
        (spoil_surplus, r"1 left over \(visual\.extra\.weight\)"),
        (spoil_shape, r"1 of another shape \(visual\.positional_embedding\)"),
    ],
)
def test_weights_that_do_not_fit_are_an_error(
    folder: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    spoil(state)
    save_file(state, weights)
    with pytest.raises(WeightsMismatch, match=message):
        load(checkpoint_of(str(folder)), runtime=FP32)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_that_wants_to_run_code_is_refused(
    models: dict[str, Path], tmp_path: Path, *, new_format: bool
) -> None:
    state = load_file(models["vit"] / "open_clip_model.safetensors")
    content = {"state_dict": state, "trap": Trap(tmp_path / "sprung")}
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=new_format)
    with pytest.raises(UnsafeWeights, match="clipcli refuses"):
        load(checkpoint_of(f"test-vit/{tmp_path}/evil.pt"), runtime=FP32)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_script_archive_of_another_model_does_not_fit(models: dict[str, Path], tmp_path: Path) -> None:
    assert models
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "model.pt"))
    with pytest.raises(WeightsMismatch, match=r"2 left over \(weight"):
        load(checkpoint_of(f"test-vit/{tmp_path}/model.pt"), runtime=FP32)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"e" * 100, bytes(range(256))])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_no_checkpoint(models: dict[str, Path], tmp_path: Path, suffix: str, content: bytes) -> None:
    assert models
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="get it anew"):
        load(checkpoint_of(f"test-vit/{path}"), runtime=FP32)


def test_a_checkpoint_without_a_state_dict(models: dict[str, Path], tmp_path: Path) -> None:
    assert models
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(BadFile, match="no state dict"):
        load(checkpoint_of(f"test-vit/{tmp_path}/list.pt"), runtime=FP32)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", BadFile, "not an open_clip configuration"),
        ('{"model_cfg": {"embed_dim": 16}}', BadFile, "vision_cfg"),
        ("[]", BadFile, "not an open_clip configuration"),
        ('{"model_cfg": {"embed_dim": 1, "vision_cfg": "a", "text_cfg": {}}}', BadFile, "are tables"),
        (None, ModelUnavailable, "has no open_clip_config.json"),
    ],
)
def test_a_directory_with_a_bad_config(
    folder: Path, content: str | None, error: type[ClipcliError], message: str
) -> None:
    config = folder / "open_clip_config.json"
    config.unlink()
    if content is not None:
        config.write_text(content)
    with pytest.raises(error, match=message):
        checkpoint_of(str(folder))


def test_a_config_that_open_clip_does_not_understand(folder: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["wings"] = 2
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(BadFile, match="cannot build this model_cfg"):
        load(checkpoint_of(str(folder)), runtime=FP32)


@pytest.mark.parametrize(("key", "value"), [("resize_mode", "foo"), ("interpolation", "lanczos9")])
def test_preprocessing_that_open_clip_does_not_know(folder: Path, key: str, value: str) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"][key] = value
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(BadFile, match=f"states {key} '{value}'"):
        load(checkpoint_of(str(folder)), runtime=FP32)


@pytest.mark.parametrize("new_format", [True, False])
def test_both_of_pytorchs_formats_load(models: dict[str, Path], tmp_path: Path, *, new_format: bool) -> None:
    state = load_file(models["vit"] / "open_clip_model.safetensors")
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=new_format)
    assert load(checkpoint_of(f"test-vit/{tmp_path}/w.pt"), runtime=FP32).dimensions == 16


def test_a_directory_without_weights(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="has no weights"):
        checkpoint_of(str(folder))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ViT-B-33/openai", "did you mean ViT-B-32/openai"),
        ("ViT-B-32/openal", "did you mean openai"),
        ("ViT-B-32", "add a tag"),
        ("tinny", "did you mean tiny"),
        ("./nowhere", "no folder"),
        ("nowhere/epoch.pt", "needs its architecture before it"),
        ("coca_base", "no published weights"),
        ("", "unknown model"),
        ("hf-hub:a/b/c", "no name of a repository"),
        ("hf-hub:", "no name of a repository"),
    ],
)
def test_an_unknown_model_names_the_nearest(model: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        backbones.find(model)


@pytest.mark.parametrize(
    ("written", "arch", "tag"),
    [
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-B/32", "ViT-B-32", "openai"),
        ("ViT-B/32/laion2b_s34b_b79k", "ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-L/14@336px", "ViT-L-14-336", "openai"),
        ("RN50", "RN50", "openai"),
        (backbones.DEFAULT_MODEL, "ViT-B-32-256", "datacomp_s34b_b86k"),
    ],
)
def test_spellings(written: str, arch: str, tag: str) -> None:
    assert tags.split_architecture(written) == (arch, tag)
    assert open_clip.pretrained.is_pretrained_cfg(arch, tag)


def test_weights_are_looked_for_where_open_clip_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every published checkpoint, the same repository, and the same files in the same order."""
    asked: list[tuple[str, str]] = []

    def refuse(repo_id: str, filename: str, **_: Any) -> str:
        asked.append((repo_id, filename))
        raise FileNotFoundError

    monkeypatch.setattr("open_clip.pretrained.hf_hub_download", refuse)
    for arch, tag in open_clip.list_pretrained():
        asked.clear()
        with pytest.raises(FileNotFoundError):
            open_clip.download_pretrained(open_clip.get_pretrained_cfg(arch, tag))
        repository, filenames = tags.weights_location(arch, tag)
        assert [(repository, filename) for filename in filenames] == asked


def test_openai_weights_get_the_activation_they_were_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open_clip_model.safetensors").touch()
    monkeypatch.setattr("clipcli.backbones.hub.cached", lambda *_: tmp_path / "open_clip_model.safetensors")
    assert checkpoint_of("ViT-B/32").model_cfg["quick_gelu"] is True
    assert checkpoint_of("ViT-B-32/laion2b_s34b_b79k").model_cfg["quick_gelu"] is False


def test_the_catalogue_lists_every_published_model() -> None:
    names = [entry.name for entry in all_models()]
    published = [f"{arch}/{tag}" for arch, tag in open_clip.list_pretrained()]
    assert names[: len(BUNDLED) + len(published)] == [*BUNDLED, *published]


def test_the_catalogue_lists_every_architecture() -> None:
    assert {entry.name.split("/")[0] for entry in all_models()} == set(BUNDLED) | set(open_clip.list_models())


@pytest.mark.parametrize("arch", ["RN50", "ViT-B-32", "ViT-B-16-SigLIP"])
def test_the_kept_parameter_counts_are_right(arch: str) -> None:
    assert published_parameters()[arch] == count_parameters(tags.model_config(arch))


def test_parameters_are_those_of_open_clips_own_model(models: dict[str, Path]) -> None:
    for name, folder in models.items():
        model = open_clip.create_model(f"test-{name}")
        config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
        assert count_parameters(config) == sum(p.numel() for p in model.parameters())


def test_tiny_labels_the_demo_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    monkeypatch.setattr("sys.argv", ["demo_photos.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "demo_photos.py"), run_name="__main__")
    rows = clipcli.classify(tmp_path, labels=ROOT / "examples" / "demo-labels.txt", model="tiny", cache=False)
    found = {Path(row.path).stem: row.labels[0] for row in rows}
    assert found == {
        "camera": "photographer",
        "chelsea": "cat",
        "china": "palace",
        "dahlia": "flower",
        "espresso": "cup of coffee",
        "motorcycle": "motorcycle",
        "page": "printed page",
        "rocket": "rocket",
    }


@pytest.mark.slow
@pytest.mark.shared
def test_tiny_is_as_right_as_its_card_says(shared: Callable[[str], Path]) -> None:
    card = (folder_of("tiny") / "README.md").read_text(encoding="utf-8")
    for name, images in (("clothing.zip/validation", 341), ("photos-labels.csv", 64)):
        [stated] = re.findall(rf"`{re.escape(name)}` \| {images} \| top-1 of .* \| ([\d.]+)%", card)
        archive, _, part = name.partition("/")
        found = clipcli.evaluate(shared(f"data/{archive}") / part, model="tiny", precision="fp32")
        # An image more or less, as processors round.
        assert found.metrics["top1"] == pytest.approx(float(stated) / 100, abs=1.1 / images)


@pytest.mark.slow
@pytest.mark.shared
def test_the_starter_is_as_right_as_its_readme_says(shared: Callable[[str], Path]) -> None:
    import csv
    import io
    import zipfile

    archive = shared("data/tiny-imagenet.zip")
    with zipfile.ZipFile(archive) as zipped, zipped.open("classes.csv") as file:
        labels = [row["name"] for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8"))]
    rows = list(
        clipcli.classify(f"{archive}/val", labels=labels, model=str(shared("models/starter")), precision="fp32")
    )
    right = sum(row.labels == (row.path.split("/")[-2],) for row in rows)
    assert len(rows) == 5000
    assert right / len(rows) == pytest.approx(0.2006, abs=0.0005)
