"""Images that are encoded once: the same weights as by encoding them in each step, and each is decoded once.

Of images that change, a few views are encoded, and one of these is drawn each time.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from process_groups import in_group
from safetensors.torch import load_file
from small_data import in_memory, noisy_pairs

import clipcli
from clipcli.commands.train import choose, session
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.run import run as train
from clipcli.commands.train.settings import configured
from clipcli.commands.train.stored import StoredImages, keeps_images, remembering, stores_images
from clipcli.errors import UsageError
from clipcli.events import StepDone, result_of
from clipcli.records import Skipped
from clipcli.settings import read_yaml

pytestmark = pytest.mark.usefixtures("no_charts")
WEIGHTS = "open_clip_model.safetensors"


def trained(model: Path, data: Path, output: Path, **more: Any) -> dict[str, torch.Tensor]:
    """The weights of a run of a few steps with a locked image tower."""
    settings: dict[str, Any] = {"steps": 5, "batch_size": 6, "lr": 1e-3, "warmup": 0, "lock": "image", "val_every": 2}
    settings |= {"model": str(model), "device": "cpu", "precision": "fp32", "val": str(data)}
    clipcli.train(data, output=output, **settings | more)
    return load_file(output / WEIGHTS)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[StoredImages]:
    """The images that runs have stored."""
    found: list[StoredImages] = []
    store = choose.store_images

    def noted(*arguments: Any, **more: Any) -> Any:
        found.append((yield from store(*arguments, **more)))
        return found[-1]

    monkeypatch.setattr(choose, "store_images", noted)
    return found


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
        ({"lock": "image", "crop": 0.9, "augment_views": 2}, True, True),
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


def test_one_view_of_whole_images_is_as_without(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    for name, more in (("plain", {}), ("one", {"augment_views": 1})):
        trained(models["vit"], pairs, tmp_path / name, **more)
    assert (tmp_path / "plain" / WEIGHTS).read_bytes() == (tmp_path / "one" / WEIGHTS).read_bytes()


VIEWS = {"augment_views": 3, "crop": 0.3, "flip": True}


def test_views_differ_and_each_is_learned_from(
    models: dict[str, Path], tmp_path: Path, stored: list[StoredImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noisy_pairs(tmp_path / "data", 12)
    (data / "3.png").write_bytes(b"no image")
    drawn: list[tuple[int, bytes]] = []
    draw = StoredImages.drawn

    def noted(self: StoredImages, index: int, rng: np.random.Generator) -> Any:
        found = draw(self, index, rng)
        if not isinstance(found, Skipped):
            drawn.append((index, found.tobytes()))
        return found

    monkeypatch.setattr(StoredImages, "drawn", noted)
    weights = trained(models["vit"], data, tmp_path / "run", steps=24, max_skipped=0.2, **VIEWS)
    [images] = stored
    assert images.embeddings.shape[:2] == (12, 3)
    [unread] = images.skipped
    for n, views in enumerate(images.embeddings):
        if n != unread:
            assert {found for index, found in drawn if index == n} == {view.tobytes() for view in views}
            assert len(np.unique(views, axis=0)) == 3
    before = load_file(models["vit"] / WEIGHTS)
    changed = {name for name in before if not torch.equal(before[name], weights[name])}
    assert changed
    assert not any(name.startswith("visual.") for name in changed)


def test_a_run_with_views_goes_on_exactly(
    models: dict[str, Path], pairs: Path, tmp_path: Path, stored: list[StoredImages]
) -> None:
    whole = trained(models["vit"], pairs, tmp_path / "whole", steps=6, **VIEWS)
    run, stop = tmp_path / "run", Event()
    settings = read_yaml(tmp_path / "whole/train.yaml") | {"output": str(run)}
    for event in train(gather_config(settings), stop=stop):
        if isinstance(event, StepDone) and event.step == 2:
            stop.set()
    result_of(train(gather_config({"output": str(run)}, resume=True), resume=True))
    weights = load_file(run / WEIGHTS)
    assert all(torch.equal(whole[name], weights[name]) for name in whole)
    assert len(stored) == 3
    assert all(np.array_equal(stored[0].embeddings, images.embeddings) for images in stored)


@pytest.mark.parametrize("how", ["isolated", "two processes"])
def test_views_are_the_same_wherever_they_are_made(
    models: dict[str, Path], pairs: Path, tmp_path: Path, stored: list[StoredImages], how: str
) -> None:
    """In a process for decoding, and in two that train, each with a part of the images."""
    alone = trained(models["vit"], pairs, tmp_path / "alone", **VIEWS)
    if how == "isolated":
        weights = trained(models["vit"], pairs, tmp_path / how, isolate=True, **VIEWS)
    else:
        weights = trained_by_two(read_yaml(tmp_path / "alone/train.yaml"), tmp_path / how)
    for found in stored:
        np.testing.assert_allclose(found.embeddings, stored[0].embeddings, atol=1e-5)
    for name, weight in alone.items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0, msg=name)


def trained_by_two(settings: dict[str, Any], output: Path) -> dict[str, torch.Tensor]:
    """The weights of a run in two processes."""

    def work(_: int) -> None:
        result_of(train(gather_config(settings | {"output": str(output)})))

    assert [ended.error for ended in in_group(work)] == [None, None]
    return load_file(output / WEIGHTS)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"lock": "image", "augment_views": 2}, "augment_views has views that do not differ; give crop=0.9, flip=True"),
        ({"crop": 0.9, "augment_views": 2}, "augment_views is for lock='image' without"),
        ({"lock": "image", "cutmix": 0.5, "augment_views": 2}, "augment_views is for lock='image' without"),
        ({"lock": "image", "unlock_groups": 1, "crop": 0.9, "augment_views": 2}, "augment_views is for lock='image'"),
    ],
)
def test_views_that_cannot_be_kept_are_refused(
    models: dict[str, Path], pairs: Path, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=f"^{reason}"):
        clipcli.train(pairs, model=models["vit"], output=tmp_path / "run", **settings)
