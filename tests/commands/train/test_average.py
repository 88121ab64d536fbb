"""--average: what is validated, saved and kept is the moving average of the weights, which learn as without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import clipcli
from clipcli.backbones import find
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.train.average import decay_at
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.data import read_checks
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.run import run as train
from clipcli.commands.train.settings import configured
from clipcli.events import StepDone, result_of
from clipcli.notices import Notices
from clipcli.settings import read_yaml

WEIGHTS = "open_clip_model.safetensors"
STEPS, DECAY = 4, 0.3
# 1/10, 2/11, 3/12, and from then on 0.3, which is less than 4/13.
DECAYS = (0.1, 2 / 11, 0.25, 0.3)


def settings(model: Path, **more: Any) -> dict[str, Any]:
    """A short run with large steps, each of which is kept."""
    own = {"steps": STEPS, "batch_size": 6, "lr": 1e-2, "warmup": 0, "freeze_batch_norm": False, "average": DECAY}
    where = {"device": "cpu", "precision": "fp32", "save_every": 1, "keep_every": 1, "val_every": 1, "log_every": 1}
    return {"model": str(model), **own, **where, **more}


@pytest.fixture(scope="module")
def averaged(models: dict[str, Path], pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a ResNet whose weights are averaged."""
    run = tmp_path_factory.mktemp("runs") / "averaged"
    clipcli.train(pairs, output=run, val=str(pairs), **settings(models["resnet"]))
    return run


def saved(run: Path, step: int) -> dict[str, Tensor]:
    """The weights of a checkpoint."""
    return load_file(run / "checkpoints" / f"step-{step:08}" / WEIGHTS)


def state(run: Path, step: int) -> dict[str, Any]:
    """The state that a checkpoint holds beside the weights."""
    return dict(torch.load(run / "checkpoints" / f"step-{step:08}" / "trainer.pt", weights_only=True))


def validations(run: Path) -> list[dict[str, Any]]:
    """The validations in the metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "validation"]


def as_saved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of the files."""
    return {name.removeprefix("text."): tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(("step", "most", "decay"), [(0, 0.999, 0.1), (90, 0.999, 0.91), (10**6, 0.999, 0.999)])
def test_early_weights_do_not_weigh(step: int, most: float, decay: float) -> None:
    assert decay_at(step, most=most) == pytest.approx(decay)


def test_a_checkpoint_holds_the_average_of_all_weights_until_then(models: dict[str, Path], averaged: Path) -> None:
    expected = load_file(models["resnet"] / WEIGHTS)
    for step, decay in enumerate(DECAYS, start=1):
        raw = as_saved(state(averaged, step)["raw_weights"])
        assert raw.keys() == expected.keys()
        for name, weight in raw.items():
            expected[name] = decay * expected[name] + (1 - decay) * weight if weight.is_floating_point() else weight
        for name, weight in saved(averaged, step).items():
            assert torch.allclose(weight, expected[name], atol=1e-6, rtol=0), (step, name)
    statistics = [name for name in expected if "running_" in name]
    assert any((saved(averaged, STEPS)[name] - raw[name]).abs().max() > 1e-3 for name in statistics)


def test_the_weights_learn_as_without_an_average(
    models: dict[str, Path], pairs: Path, averaged: Path, tmp_path: Path
) -> None:
    clipcli.train(pairs, output=tmp_path / "plain", **settings(models["resnet"], average=0))
    for step in range(1, STEPS + 1):
        raw, plain = as_saved(state(averaged, step)["raw_weights"]), saved(tmp_path / "plain", step)
        assert all(torch.equal(weight, raw[name]) for name, weight in plain.items())


def test_the_average_is_what_is_validated(averaged: Path) -> None:
    config = configured(read_yaml(averaged / "train.yaml"))
    check = read_checks(config, Notices(), loss="clip", batch_size=6).val
    assert check is not None
    for line in validations(averaged)[1:]:
        folder = averaged / "checkpoints" / f"step-{line['step']:08}"
        backbone = load(result_of(find(str(folder))()), runtime=choose_runtime(device="cpu", precision="fp32"))
        loss = check.measure(backbone, processes=Processes()).metrics["val_loss"]
        assert line["val_loss"] == pytest.approx(loss, abs=1e-6)
        backbone.towers.load_state_dict(state(averaged, line["step"])["raw_weights"])
        loss = check.measure(backbone, processes=Processes()).metrics["val_loss"]
        assert line["val_loss"] != pytest.approx(loss, abs=1e-5)


def test_the_best_average_is_the_model_or_the_start_where_none_is_better(
    models: dict[str, Path], averaged: Path
) -> None:
    ranks = {
        line["step"]: (line["image_to_text_recall@1"] + line["text_to_image_recall@1"], -line["val_loss"])
        for line in validations(averaged)
    }
    best = max(range(STEPS + 1), key=lambda step: (ranks[step], -step))
    expected = saved(averaged, best) if best else load_file(models["resnet"] / WEIGHTS)
    model = load_file(averaged / WEIGHTS)
    assert all(torch.equal(weight, model[name]) for name, weight in expected.items())


def test_a_locked_tower_stays(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    clipcli.train(pairs, output=run, **settings(models["resnet"], lock="image"))
    before, after = load_file(models["resnet"] / WEIGHTS), load_file(run / WEIGHTS)
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("visual."))
    raw = as_saved(state(run, STEPS)["raw_weights"])
    assert not torch.equal(after["text_projection"], raw["text_projection"])


def test_half_of_the_way_to_the_average(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    clipcli.train(pairs, output=run, **settings(models["vit"], wise_ft="0.5"))
    start, last, mixed = load_file(models["vit"] / WEIGHTS), saved(run, STEPS), load_file(run / WEIGHTS)
    assert all(torch.allclose(mixed[name], (start[name] + last[name]) / 2, atol=1e-6, rtol=0) for name in start)


@pytest.mark.slow
def test_micro_batches_give_the_average_of_the_whole_batch(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    runs = [tmp_path / "whole", tmp_path / "micro"]
    for run, micro_batch in zip(runs, (None, 2), strict=True):
        clipcli.train(pairs, output=run, **settings(models["vit"], lr=1e-3, micro_batch=micro_batch))
    whole, micro = (load_file(run / WEIGHTS) for run in runs)
    assert all(torch.allclose(whole[name], micro[name], atol=1e-5, rtol=0) for name in whole)


@pytest.fixture(scope="module")
def low_rank(models: dict[str, Path], pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of LoRA whose weights are averaged."""
    run = tmp_path_factory.mktemp("runs") / "lora"
    clipcli.train(pairs, output=run, **settings(models["vit"], lora=2))
    return run


def test_low_rank_changes_are_averaged_and_then_merged(models: dict[str, Path], low_rank: Path) -> None:
    expected = state(low_rank, 1)["average_adapters"]
    for step, decay in list(enumerate(DECAYS, start=1))[1:]:
        learned = state(low_rank, step)["adapters"]
        expected = {name: decay * expected[name] + (1 - decay) * tensor for name, tensor in learned.items()}
    average = state(low_rank, STEPS)["average_adapters"]
    assert average.keys() == expected.keys()
    assert all(torch.allclose(average[name], expected[name], atol=1e-6, rtol=0) for name in average)
    place = "visual.transformer.resblocks.0.mlp.c_fc"
    down, up = (average[f"{place}.{factor}.default.weight"] for factor in ("lora_A", "lora_B"))
    assert up.abs().max() > 1e-3
    merged = load_file(models["vit"] / WEIGHTS)[f"{place}.weight"] + up @ down
    assert torch.allclose(load_file(low_rank / WEIGHTS)[f"{place}.weight"], merged, atol=1e-6, rtol=0)
    assert not torch.equal(average["logit_scale"], learned["logit_scale"])


@pytest.mark.slow
@pytest.mark.parametrize("average", [DECAY, 0])
def test_a_stopped_run_of_low_rank_changes_resumes_to_the_same_weights(
    models: dict[str, Path], pairs: Path, low_rank: Path, tmp_path: Path, average: float
) -> None:
    whole, run, stop = low_rank, tmp_path / "run", Event()
    own = settings(models["vit"], lora=2, average=average)
    if not average:
        whole = tmp_path / "whole"
        clipcli.train(pairs, output=whole, **own)
    for event in train(gather_config({**own, "data": str(pairs), "output": str(run)}), stop=stop):
        if isinstance(event, StepDone) and event.step == 1:
            stop.set()
    assert not (run / WEIGHTS).exists()
    result_of(train(gather_config({"output": str(run)}, resume=True), resume=True))
    expected, weights = load_file(whole / WEIGHTS), load_file(run / WEIGHTS)
    assert all(torch.equal(weight, weights[name]) for name, weight in expected.items())
