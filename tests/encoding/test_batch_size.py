"""Batches fit, and the same machine gets the same batches. The card is a stand-in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import clipcli
from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import build_towers
from clipcli.encoding.batch_size import batch_size_for, with_batch_size

GB = 1 << 30
BYTES = st.integers(0, 4 * GB)
TOTAL = st.integers(0, 200 * GB)
MOST = st.integers(1, 1024)


@given(BYTES, TOTAL, MOST)
def test_it_is_the_largest_power_of_two_that_fits(an_image: int, total: int, most: int) -> None:
    size = batch_size_for(an_image, total=total, most=most)
    assert size.bit_count() == 1
    assert size == 1 or (size <= most and size * an_image <= total / 2)
    assert 2 * size > most or 2 * size * an_image > total / 2


@given(BYTES, TOTAL, MOST, st.integers(1, 10))
def test_more_memory_never_means_fewer_images(an_image: int, total: int, most: int, times: int) -> None:
    size = batch_size_for(an_image, total=total, most=most)
    assert batch_size_for(an_image, total=times * total, most=most) >= size
    assert batch_size_for(times * an_image, total=total, most=most) <= size


@pytest.mark.parametrize(
    ("an_image", "total", "size"),
    [(0, 8 * GB, 256), (16 << 20, 8 * GB, 256), ((16 << 20) + 1, 8 * GB, 128), (1 << 30, 8 * GB, 4), (GB, GB, 1)],
)
def test_half_of_the_memory_is_for_the_images(an_image: int, total: int, size: int) -> None:
    assert batch_size_for(an_image, total=total, most=256) == size


class Card:
    """A card's counters, and a model of which each image takes `an_image` bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, an_image: int, total: int = 8 * GB) -> None:
        self.an_image = an_image
        self.now = 2 * GB
        self.peak = 5 * GB
        self.encoded: list[tuple[int, ...]] = []
        self.error: Exception | None = None
        properties = SimpleNamespace(total_memory=total)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: self.now)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)

    def reset(self) -> None:
        self.peak = self.now

    def encode(self, pixels: Tensor) -> None:
        if self.error:
            raise self.error
        if not self.encoded:
            # The libraries' own memory.
            self.now += GB
        self.encoded.append(tuple(pixels.shape))
        self.peak = max(self.peak, self.now + len(pixels) * self.an_image)

    def backbone(self, *, device: str = "cuda") -> Backbone:
        batch_size = BATCH_SIZES[device]
        runtime = Runtime(device, "bf16", reason="", batch_size=batch_size, workers=1, most_workers=1)
        size = Preprocessing((24, 40), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3, 0)
        return Backbone("x", "x", None, None, size, 4, 1.0, None, "softmax", runtime, engine=self.encode)  # type: ignore[arg-type]


@pytest.mark.parametrize(("an_image", "size"), [(1 << 20, 256), (64 << 20, 64), (8 * GB, 1)])
def test_the_peak_of_a_few_blank_images_decides(monkeypatch: pytest.MonkeyPatch, an_image: int, size: int) -> None:
    card = Card(monkeypatch, an_image=an_image)
    backbone = card.backbone()
    assert [with_batch_size(backbone).runtime.batch_size for _ in range(3)] == [size] * 3
    assert set(card.encoded) == {(8, 24, 40, 3)}


def test_where_not_even_the_probe_fits_batches_are_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch, an_image=1)
    card.error = torch.OutOfMemoryError("CUDA out of memory")
    assert with_batch_size(card.backbone()).runtime.batch_size == 8


def test_an_apple_card_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch, an_image=GB)
    backbone = card.backbone(device="mps")
    assert with_batch_size(backbone) is backbone
    assert not card.encoded


@pytest.mark.parametrize(
    ("arch", "size"),
    [("ViT-B-32", 32), ("ViT-B-16", 8), ("ViT-L-14-336", 4), ("RN50", 8), ("RN50x16", 4), ("convnext_base", 8)],
)
def test_on_a_processor_the_model_decides(arch: str, size: int) -> None:
    assert _on_a_processor(find_architecture(arch).model_cfg) == size


def test_small_images_come_in_larger_batches() -> None:
    config = find_architecture("RN50").model_cfg
    sizes = [_on_a_processor({**config, "vision_cfg": {**config["vision_cfg"], "image_size": n}}) for n in (32, 64, 96)]
    assert sizes == [128, 128, 32]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_base_patch16_siglip_224"])
def test_transformers_of_timm_are_told_by_their_positions(name: str) -> None:
    vision = {"timm_model_name": name, "timm_pool": "", "timm_proj": "linear", "image_size": 224}
    assert _on_a_processor({**find_architecture("RN50").model_cfg, "vision_cfg": vision}) == 8


def _on_a_processor(model_cfg: Mapping[str, Any]) -> int:
    with torch.device("meta"):
        towers = build_towers(model_cfg, towers=(IMAGE,), dtype=torch.float32)
    size = (model_cfg["vision_cfg"]["image_size"],) * 2
    way = Preprocessing(size, "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3, 0)
    runtime = Runtime("cpu", "fp32", reason="", batch_size=32, workers=1, most_workers=1)
    no_tokenizer: Any = None
    return with_batch_size(
        Backbone("x", "x", towers, no_tokenizer, way, 4, 1.0, None, "softmax", runtime)
    ).runtime.batch_size


def test_a_batch_size_that_was_given_stays(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noted(backbone: Backbone) -> Backbone:
        asked.append(backbone.name)
        return backbone

    monkeypatch.setattr("clipcli.encoding.batch_size.with_batch_size", noted)
    for batch_size, count in ((4, 0), (None, 1)):
        rows = clipcli.classify(photos, labels=["cat", "dog"], model=model, cache=False, batch_size=batch_size)
        assert len(list(rows)) == 6
        assert len(asked) == count
