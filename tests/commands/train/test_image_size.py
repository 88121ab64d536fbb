"""--image-size: the model that is left is one for the other size, for clipcli and open_clip alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import clipcli
from clipcli.backbones import find
from clipcli.backbones.checkpoint import Checkpoint
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.train.model import find_start, load_trainee
from clipcli.commands.train.settings import configured
from clipcli.errors import UsageError, WeightsMismatch
from clipcli.events import result_of

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "convolutional": {"image_size": 64, "timm_model_name": "test_convnext", "timm_pool": "avg"},
}


def architecture(kind: str, folder: Path, **changes: Any) -> Path:
    """A small model configuration in a file."""
    path = folder / f"small-{kind}.json"
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": {**VISION[kind], **changes}, "text_cfg": TEXT}))
    return path


@pytest.fixture
def convolutional(pairs: Path, tmp_path: Path) -> Path:
    """A model of timm's that is convolutions and a mean."""
    run = tmp_path / "convolutional"
    clipcli.train(pairs, output=run, arch=str(architecture("convolutional", tmp_path)), **short())
    return run


def short(**more: Any) -> dict[str, Any]:
    """A run of one step."""
    return {"steps": 1, "batch_size": 8, "device": "cpu", "precision": "fp32", "lr": 1e-3, **more}


def checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder."""
    return result_of(find(str(folder))())


def images(size: int) -> tuple[Tensor, Tensor]:
    """Pixels uint8 `[3, size, size, 3]`, and the same as a model whose mean is 0 and whose deviation 1 gets them."""
    pixels = torch.from_numpy(np.random.default_rng(size).integers(0, 255, (3, size, size, 3), dtype=np.uint8))
    return pixels, pixels.permute(0, 3, 1, 2).float().div(255)


def theirs(folder: Path, size: int, *, pixels: Tensor, **more: Any) -> Tensor:
    """open_clip's embeddings of these pixels."""
    model = open_clip.create_model(f"local-dir:{folder}", **more).eval()
    mean, std = (torch.tensor(model.visual.preprocess_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    assert model.visual.image_size in (size, (size, size))
    with torch.no_grad():
        return model.encode_image((pixels - mean) / std, normalize=True)


@pytest.mark.parametrize("size", [48, 24, 40])
def test_a_vit_is_resized_as_open_clip_does_it(models: dict[str, Path], size: int) -> None:
    config = configured({"model": str(models["vit"]), "image_size": size})
    runtime = choose_runtime(device="cpu", precision="fp32")
    ours = load_trainee(result_of(find_start(config)), config, runtime=runtime).backbone
    assert ours.preprocessing.size == (size, size)
    pixels, floats = images(size)
    expected = theirs(models["vit"], size, pixels=floats, force_image_size=size)
    assert (ours.encode_images(pixels) - expected).abs().max() < 1e-6


def test_weights_in_half_precision_are_resized_in_full(models: dict[str, Path], tmp_path: Path) -> None:
    halved = tmp_path / "halved"
    halved.mkdir()
    save_file({k: v.half() for k, v in load_file(models["vit"] / WEIGHTS).items()}, halved / WEIGHTS)
    (halved / CONFIG).write_bytes((models["vit"] / CONFIG).read_bytes())
    made = []
    for folder in (models["vit"], halved):
        config = configured({"model": str(folder), "image_size": 48})
        trainee = load_trainee(
            result_of(find_start(config)), config, runtime=choose_runtime(device="cpu", precision="fp32")
        )
        made.append(trainee.backbone.encode_images(images(48)[0]))
    assert (made[0] - made[1]).abs().max() < 1e-2


@pytest.mark.parametrize("kind", ["vit", "convolutional", "sigmoid"])
def test_the_model_that_is_left_is_for_the_other_size(
    models: dict[str, Path], convolutional: Path, pairs: Path, tmp_path: Path, kind: str
) -> None:
    run, model = tmp_path / "run", {**models, "convolutional": convolutional}[kind]
    clipcli.train(pairs, output=run, model=str(model), image_size=96, wise_ft="0.5", average=0.9, **short())
    assert json.loads((run / CONFIG).read_text())["model_cfg"]["vision_cfg"]["image_size"] == 96
    ours = load(checkpoint(run), runtime=choose_runtime(device="cpu", precision="fp32"))
    assert ours.preprocessing.size == (96, 96)
    pixels, floats = images(96)
    assert (ours.encode_images(pixels) - theirs(run, 96, pixels=floats)).abs().max() < 1e-6
    before, after = load_file(model / WEIGHTS), load_file(run / WEIGHTS)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("visual.") for name in changed)


@pytest.mark.parametrize(("kind", "size"), [("vit", 48), ("resnet", 96), ("convolutional", 80)])
def test_pretraining_at_another_size(pairs: Path, tmp_path: Path, kind: str, size: int) -> None:
    run = tmp_path / "run"
    clipcli.train(pairs, output=run, arch=str(architecture(kind, tmp_path)), image_size=size, **short())
    ours = load(checkpoint(run), runtime=choose_runtime(device="cpu", precision="fp32"))
    pixels, floats = images(size)
    assert (ours.encode_images(pixels) - theirs(run, size, pixels=floats)).abs().max() < 1e-6


def test_a_run_at_another_size_resumes(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    clipcli.train(pairs, output=run, model=str(models["vit"]), image_size=48, **short())
    before = load_file(run / WEIGHTS)
    (run / WEIGHTS).unlink()
    clipcli.train(pairs, output=run, resume=True)
    after = load_file(run / WEIGHTS)
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(UsageError, match="image_size was 48 and is 40"):
        clipcli.train(pairs, output=run, resume=True, image_size=40)


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_its_own_size_fits_every_model(models: dict[str, Path], name: str) -> None:
    folder = models[name]
    own = json.loads((folder / CONFIG).read_text())["model_cfg"]["vision_cfg"]["image_size"]
    config = configured({"model": str(folder), "image_size": own})
    start = result_of(find_start(config))
    assert start == checkpoint(folder)
    trainee = load_trainee(start, config, runtime=choose_runtime(device="cpu", precision="fp32"))
    before = load(start, runtime=trainee.backbone.runtime).towers.state_dict()
    assert all(torch.equal(weight, before[key]) for key, weight in trainee.weights().items() if "bias" not in key)


def test_another_size_is_not_taken_where_nobody_asked(models: dict[str, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / WEIGHTS).write_bytes((models["vit"] / WEIGHTS).read_bytes())
    content = json.loads((models["vit"] / CONFIG).read_text())
    content["model_cfg"]["vision_cfg"]["image_size"] = 48
    (wrong / CONFIG).write_text(json.dumps(content))
    with pytest.raises(WeightsMismatch, match="of another shape"):
        load(checkpoint(wrong), runtime=choose_runtime(device="cpu", precision="fp32"))


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("vit", 50, "vit, whose image tower works on parts of 8 pixels; give a multiple of 8, such as 48 or 56"),
        ("vit", 5, "vit, whose image tower works on parts of 8 pixels; give a multiple of 8, such as 8"),
        ("resnet", 96, "resnet: the attention .* has weights for 64 pixels; leave image_size out, or pretrain"),
        ("sigmoid", 100, r"sigmoid \(.+\); leave it out, or take a model with an image tower that is convolutional"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(
    models: dict[str, Path], pairs: Path, tmp_path: Path, name: str, size: int, says: str
) -> None:
    with pytest.raises(UsageError, match=f"^image_size={size} does not fit .*{says}"):
        clipcli.train(pairs, output=tmp_path / "run", model=str(models[name]), image_size=size, **short())
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(("kind", "changes", "size"), [("resnet", {}, 80), ("vit", {"patch_size": [8, 12]}, 40)])
def test_a_size_to_pretrain_at_that_does_not_fit_is_refused(
    pairs: Path, tmp_path: Path, kind: str, changes: dict[str, Any], size: int
) -> None:
    arch = architecture(kind, tmp_path, **changes)
    with pytest.raises(UsageError, match=f"^image_size={size} does not fit small-{kind}, .* give a multiple of "):
        clipcli.train(pairs, output=tmp_path / "run", arch=str(arch), image_size=size, **short())


def test_a_tower_that_takes_one_size_only_is_refused(pairs: Path, tmp_path: Path) -> None:
    arch = architecture("convolutional", tmp_path, timm_model_name="vit_tiny_patch16_224", image_size=224)
    with pytest.raises(UsageError, match=r"^image_size=96 does not fit small-\w+ \(.*height.*\); leave it out, or"):
        clipcli.train(pairs, output=tmp_path / "run", arch=str(arch), image_size=96, **short())


def test_positions_that_are_no_square_are_not_resized(pairs: Path, tmp_path: Path) -> None:
    """36 positions of 4 × 9 would be taken for 6 × 6."""
    wide = tmp_path / "wide"
    arch = architecture("vit", tmp_path, image_size=[32, 72])
    clipcli.train(pairs, output=wide, arch=str(arch), **short())
    with pytest.raises(UsageError, match=r"does not fit .*, whose images are 32×72 and not square; leave image_size"):
        clipcli.train(pairs, output=tmp_path / "run", model=str(wide), image_size=48, **short())
