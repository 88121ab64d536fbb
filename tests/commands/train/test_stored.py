"""Images that are encoded once: the same weights as by encoding them in each step, and each is decoded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_data import in_memory, noisy_pairs

import clipcli
from clipcli.commands.train import choose, session
from clipcli.commands.train.settings import configured
from clipcli.commands.train.stored import keeps_images, remembering, stores_images

WEIGHTS = "open_clip_model.safetensors"


def trained(model: Path, data: Path, output: Path, **more: Any) -> dict[str, torch.Tensor]:
    """The weights of a run of a few steps with a locked image tower."""
    settings: dict[str, Any] = {"steps": 5, "batch_size": 6, "lr": 1e-3, "warmup": 0, "lock": "image", "val_every": 2}
    settings |= {"model": str(model), "device": "cpu", "precision": "fp32", "val": str(data)}
    clipcli.train(data, output=output, **settings | more)
    return load_file(output / WEIGHTS)


@pytest.mark.parametrize(("name", "more"), [("vit", {}), ("resnet", {"micro_batch": 4})])
def test_the_weights_are_those_of_the_slow_way(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: dict[str, Any]
) -> None:
    data = noisy_pairs(tmp_path / "data", 12)
    (data / "3.png").write_bytes(b"no image")
    settings = {"max_skipped": 0.2, **more}
    stored = trained(models[name], data, tmp_path / "stored", **settings)
    monkeypatch.setattr(choose, "stores_images", lambda _: False)
    monkeypatch.setattr(session, "keeps_images", lambda _: False)
    slow = trained(models[name], data, tmp_path / "slow", **settings)
    assert stored.keys() == slow.keys()
    start = load_file(models[name] / WEIGHTS)
    assert any(not torch.equal(stored[key], start[key]) for key in stored)
    for key in stored:
        torch.testing.assert_close(stored[key], slow[key], atol=1e-5, rtol=0, msg=key)
    assert (tmp_path / "stored/skipped.csv").read_bytes() == (tmp_path / "slow/skipped.csv").read_bytes()


@pytest.mark.parametrize(
    ("settings", "keeps", "stores"),
    [
        ({"lock": "image", "crop": 1.0, "flip": False}, True, True),
        ({"lock": "image", "crop": 0.9, "flip": False}, True, False),
        ({"lock": "image", "crop": 1.0, "flip": True}, True, False),
        ({"lock": "image", "crop": 1.0, "flip": False, "augment": "trivial"}, True, False),
        ({"lock": "image", "crop": 1.0, "flip": False, "cutmix": 0.5}, True, False),
        ({"lock": "image", "unlock_groups": 1, "crop": 1.0, "flip": False}, False, False),
        ({"lock": "text", "crop": 1.0, "flip": False}, False, False),
        ({"crop": 1.0, "flip": False}, False, False),
    ],
)
def test_images_are_stored_where_nothing_changes_them(settings: dict[str, Any], keeps: bool, stores: bool) -> None:
    config = configured({"model": "m", **settings})
    assert (keeps_images(config), stores_images(config)) == (keeps, stores)


def test_what_was_encoded_is_remembered() -> None:
    asked: list[list[str]] = []

    def encode(items: Any, **_: Any) -> Any:
        asked.append([item.id for item in items])
        kept = [n for n, item in enumerate(items) if item.id != "4"]
        return np.array([[float(items[n].id)] for n in kept], np.float32), kept, ("odd",)

    how: dict[str, Any] = {"backbone": None, "processes": None}
    look_up = remembering(encode)
    first = look_up([in_memory("1"), in_memory("4"), in_memory("2")], **how)
    again = look_up([in_memory("2"), in_memory("4"), in_memory("3"), in_memory("1")], **how)
    assert asked == [["1", "4", "2"], ["3"]]
    assert (first[0].ravel().tolist(), first[1]) == ([1, 2], [0, 2])
    assert (again[0].ravel().tolist(), again[1]) == ([2, 3, 1], [0, 2, 3])
    assert look_up([in_memory("2")], **how)[2] == ()
