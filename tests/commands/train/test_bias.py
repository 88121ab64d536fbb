"""The bias that a model of CLIP gets for SigLIP's loss, and the scale and bias that an architecture begins with."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.optimize import minimize_scalar

import clipcli
from clipcli.commands.train.bias import fit_bias
from clipcli.commands.train.loss import Features, Targets, siglip_loss
from clipcli.commands.train.model import _with_bias_for_loss
from clipcli.commands.train.settings import TrainConfig


def settings(output: Path, **more: Any) -> dict[str, Any]:
    """A run of one step."""
    given = {"output": output, "device": "cpu", "precision": "fp32", "steps": 1, "batch_size": 8, "log_every": 1}
    return {**given, "loss": "siglip", "workers": 1, **more}


def first_loss(run: Path) -> float:
    """The loss of the first step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return float(next(line["loss"] for line in lines if line["kind"] == "step"))


@pytest.mark.parametrize("scale", [1.0, 14.0, 100.0])
@pytest.mark.parametrize("other_data", [False, True])
def test_the_bias_has_the_least_loss_for_the_scale(scale: float, other_data: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(12, 8, generator=generator) + 1, dim=1) for _ in "ab")
    same = torch.eye(12)
    same[0, 3] = 1
    ignored = torch.arange(12)[:, None] % 2 != torch.arange(12)[None] % 2 if other_data else None
    targets = Targets(same, same, ignored)

    def loss(bias: float) -> float:
        features = Features(images, texts, torch.tensor(scale), torch.tensor(bias))
        return float(siglip_loss(features, features, targets))

    fitted = fit_bias(scale * images @ texts.T, targets)
    assert fitted == pytest.approx(minimize_scalar(loss, bounds=(-200, 50), method="bounded").x, abs=0.02)


def test_a_model_of_clip_begins_near_the_least_loss(
    pairs: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a bias of -10 whatever the scale, it takes nearly all pairs for right."""
    from safetensors.torch import load_file, save_file

    model = tmp_path / "clip"
    model.mkdir()
    for file in models["vit"].iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    weights = load_file(model / "open_clip_model.safetensors")
    weights["logit_scale"] = torch.tensor(math.log(100))
    save_file(weights, model / "open_clip_model.safetensors")
    clipcli.train(pairs, **settings(tmp_path / "run", model=str(model)))
    config = json.loads((tmp_path / "run" / "open_clip_config.json").read_text())["model_cfg"]
    learned = load_file(tmp_path / "run" / "open_clip_model.safetensors")["logit_bias"].item()
    assert config["init_logit_bias"] == pytest.approx(learned, abs=0.1)
    assert learned < -20
    monkeypatch.setattr("clipcli.commands.train.run.with_fitting_bias", lambda trainee, *_, **__: trainee)
    clipcli.train(pairs, **settings(tmp_path / "of SigLIP", model=str(model)))
    assert first_loss(tmp_path / "run") < first_loss(tmp_path / "of SigLIP") / 4


def test_a_model_with_a_bias_keeps_it(pairs: Path, models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    clipcli.train(pairs, **settings(tmp_path / "run", model=str(models["sigmoid"]), lr=0.0))
    before, after = (load_file(f / "open_clip_model.safetensors") for f in (models["sigmoid"], tmp_path / "run"))
    assert torch.equal(before["logit_bias"], after["logit_bias"])


@pytest.mark.parametrize(
    ("stated", "begins"),
    [
        ({}, (math.log(10), -10)),
        ({"init_logit_bias": -10}, (math.log(10), -10)),
        ({"init_logit_bias": None, "init_logit_scale": None}, (math.log(10), -10)),
        ({"init_logit_bias": -5, "init_logit_scale": 1.5}, (1.5, -5)),
    ],
)
def test_pretraining_begins_at_the_scale_and_bias_of_siglip(
    stated: dict[str, Any], begins: tuple[float, float]
) -> None:
    """open_clip's configurations of SigLIP state the bias alone, with which its class has a scale of 14."""
    from clipcli.backbones.architectures import find_architecture

    architecture = find_architecture("ViT-B-16-SigLIP")
    plain = {k: v for k, v in architecture.model_cfg.items() if not k.startswith("init_logit")}
    found = _with_bias_for_loss(
        type(architecture)(**{**fields_of(architecture), "model_cfg": plain | stated}),
        TrainConfig("photos", arch="ViT-B-16-SigLIP", loss="siglip"),
    ).model_cfg
    assert (found["init_logit_scale"], found["init_logit_bias"]) == (pytest.approx(begins[0], abs=1e-5), begins[1])


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a record by name."""
    import dataclasses

    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
