"""Batches that do not fit into memory are encoded in parts, and nothing else changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clipcli.backbones.backbone import Backbone
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.embed import embed, one_ahead
from clipcli.errors import ClipcliError
from clipcli.events import RowsReady, Warned
from clipcli.records import Batch, Embedded, ImageItem, Skipped

CPU_ERROR = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried")
ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), CPU_ERROR, MemoryError()]


class Small:
    """A model with memory for `most` images; an embedding is the first pixel's red, green and blue."""

    name = "small"
    dimensions = 3
    runtime = SimpleNamespace(device="cpu", precision="fp32")

    def __init__(self, most: int, error: Exception = CPU_ERROR) -> None:
        self.most = most
        self.error = error
        self.asked: list[int] = []

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.asked.append(len(pixels))
        if len(pixels) > self.most:
            raise self.error
        return pixels[:, 0, 0].float()


def batch(count: int, *, bad: bool = False) -> Batch:
    """Images that differ, and perhaps one that cannot be read."""
    items = tuple(ImageItem(str(n), bytes) for n in range(count))
    entries = (Skipped(ImageItem("bad", bytes), "not an image"), *items) if bad else items
    return Batch(entries, np.random.default_rng(count).integers(0, 255, (count, 2, 2, 3), dtype=np.uint8))


def embedded(batches: list[Batch], model: Any) -> list[Embedded]:
    """All of them."""
    return list(embed(batches, backbone=model))


@pytest.mark.parametrize("error", ERRORS, ids=["card", "processor", "Python"])
def test_a_batch_too_large_is_halved_and_the_size_is_remembered(error: Exception) -> None:
    model = Small(3, error)
    batches = [batch(16), batch(16, bad=True), batch(5)]
    found = embedded(batches, model)
    assert model.asked == [16, 8, 4, *[2] * 8, *[2] * 8, 2, 2, 1]
    for one, other in zip(found, batches, strict=True):
        assert one.entries == other.entries
        np.testing.assert_array_equal(one.embeddings, other.pixels[:, 0, 0].astype(np.float32))
    assert [len(one.notes) for one in found] == [1, 0, 0]
    assert "does not hold 16 images at once, but 2;" in found[0].notes[0]
    assert "--batch-size 2" in found[0].notes[0]


def test_what_fits_is_encoded_at_once() -> None:
    model = Small(100)
    assert [one.notes for one in embedded([batch(16), batch(7)], model)] == [(), ()]
    assert model.asked == [16, 7]


def test_a_later_batch_may_need_less_still() -> None:
    model = Small(4)
    batches = [batch(4), batch(4)]
    stream = embed(batches, backbone=model)  # type: ignore[arg-type]
    assert not next(stream).notes
    model.most = 1
    np.testing.assert_array_equal(next(stream).embeddings, batches[1].pixels[:, 0, 0].astype(np.float32))
    assert model.asked == [4, 4, 2, 1, 1, 1, 1]


def test_not_even_one_image_is_an_error() -> None:
    with pytest.raises(ClipcliError, match="does not hold small and one image; close other programs"):
        embedded([batch(4)], Small(0))


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        embedded([batch(4)], Small(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


def test_nothing_to_encode() -> None:
    model = Small(1)
    [one] = embedded([Batch((Skipped(ImageItem("x", bytes), "empty"),), np.empty((0, 0, 0, 3), np.uint8))], model)
    assert (one.embeddings.shape, model.asked) == ((0, 3), [])


def test_the_next_batch_is_sent_before_one_is_used() -> None:
    log: list[str] = []
    batches = [batch(1), batch(2), batch(3)]

    def send(one: Batch) -> int:
        log.append(f"send {len(one.pixels)}")
        return len(one.pixels)

    for one, sent in one_ahead(batches, send):
        assert len(one.pixels) == sent
        log.append(f"use {sent}")
    assert log == ["send 1", "send 2", "use 1", "send 3", "use 2", "use 3"]
    assert list(one_ahead([], send)) == []


def test_classify_warns_once_and_labels_every_image(photos: Any, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Backbone.encode_images

    def small(self: Backbone, pixels: Tensor) -> Tensor:
        if len(pixels) > 1:
            raise CPU_ERROR
        return encode(self, pixels)

    options = ClassifySettings(inputs=(str(photos),), labels=["cat", "dog"], model=model, batch_size=2, cache=False)
    expected = [row.labels for event in run(options) if isinstance(event, RowsReady) for row in event.rows]
    monkeypatch.setattr(Backbone, "encode_images", small)
    events = list(run(options))
    assert [row.labels for event in events if isinstance(event, RowsReady) for row in event.rows] == expected
    assert len([event for event in events if isinstance(event, Warned)]) == 1


def test_a_card_gets_the_next_batch_before_it_is_done_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Copies:
        def start(self, one: Batch) -> Tensor:
            log.append(f"copy {len(one.pixels)}")
            return torch.from_numpy(one.pixels)

        def finished(self, started: Tensor) -> Tensor:
            log.append(f"encode {len(started)}")
            return started

    monkeypatch.setattr("clipcli.encoding.embed._Copies", Copies)
    model = Small(2)
    model.runtime = SimpleNamespace(device="cuda", precision="fp32")
    batches = [batch(3), batch(2), batch(1, bad=True)]
    for one, other in zip(embedded(batches, model), batches, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.pixels[:, 0, 0].astype(np.float32))
    assert log == ["copy 3", "copy 2", "encode 3", "copy 1", "encode 2", "encode 1"]
    assert model.asked == [3, 1, 1, 1, 1, 1, 1]
