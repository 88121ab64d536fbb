"""Speeds are measured without the weights, and remembered for this machine, this architecture and this precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import CONFIG_NAME, Architecture, read_config
from clipcli.backbones.load import stand_in
from clipcli.backbones.runtime import choose_runtime
from clipcli.encoding import speed
from clipcli.memory.memory import open_memory

RUNTIME = choose_runtime(device="cpu", precision="fp32")


@pytest.fixture
def architecture(models: dict[str, Path]) -> Architecture:
    """The configuration of the small ResNet; its weights are not looked at."""
    return Architecture(name="small", tokenizer="none", **read_config(models["resnet"] / CONFIG_NAME, name="small"))


def test_a_stand_in_runs_as_the_model_would(architecture: Architecture) -> None:
    backbone = stand_in(architecture, runtime=replace(RUNTIME, precision="bf16"))
    assert backbone.towers.visual is not None
    assert not backbone.towers.has("text")
    assert {p.dtype for n, p in backbone.towers.visual.named_parameters() if "conv" in n} == {torch.bfloat16}
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.towers.visual.modules())
    embeddings = backbone.encode_images(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert embeddings.shape == (2, 16)
    assert embeddings.isfinite().all()


def test_a_speed_is_remembered_where_it_was_measured(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_SECONDS", 0.01)
    memory = open_memory(cache=True)
    assert speed.remembered(architecture, runtime=RUNTIME, memory=memory) is None
    measured = speed.measure(architecture, runtime=RUNTIME, memory=memory)
    assert measured > 0
    again = open_memory(cache=True)
    assert speed.remembered(architecture, runtime=RUNTIME, memory=again) == measured
    other = replace(architecture, model_cfg={**architecture.model_cfg, "embed_dim": 8})
    assert speed.remembered(other, runtime=RUNTIME, memory=again) is None
    assert speed.remembered(architecture, runtime=replace(RUNTIME, precision="bf16"), memory=again) is None
    monkeypatch.setattr(speed, "processor", lambda: "another")
    assert speed.remembered(architecture, runtime=RUNTIME, memory=again) is None


@pytest.mark.parametrize(
    ("seconds_an_image", "rate", "calls"),
    [
        # Two single images, a batch to warm up, and batches of half a second until two seconds are over.
        (0.125, 8.0, [1, 1, 4, 4, 4, 4, 4]),
        # The second image alone takes longer than that.
        (2.5, 0.4, [1, 1]),
    ],
)
def test_images_per_second(
    monkeypatch: pytest.MonkeyPatch, seconds_an_image: float, rate: float, calls: list[int]
) -> None:
    clock = SimpleNamespace(now=0.0)
    seen: list[int] = []

    def encode(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        clock.now += seconds_an_image * len(pixels)
        return torch.zeros(len(pixels), 2)

    backbone: Any = SimpleNamespace(
        preprocessing=SimpleNamespace(size=(8, 8)), runtime=SimpleNamespace(batch_size=4), encode_images=encode
    )
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    assert speed.images_per_second(cast(Backbone, backbone)) == pytest.approx(rate)
    assert seen == calls


def test_a_machine_is_its_processor_and_threads() -> None:
    threads = torch.get_num_threads()
    assert speed.machine(RUNTIME).endswith(f", {threads} thread" + "s" * (threads > 1))
    assert not speed.machine(RUNTIME).startswith(",")
