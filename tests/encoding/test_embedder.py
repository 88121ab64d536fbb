"""Images that do not fit into memory at once are encoded in parts, and nothing else changes."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_data import in_memory
from torch import Tensor

import clipcli
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.towers import Towers
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.copies import one_ahead
from clipcli.encoding.embedder import Embedder
from clipcli.encoding.encoders import Encoders
from clipcli.errors import ClipcliError
from clipcli.events import RowsReady, Warned
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.memory import Memory
from clipcli.records import Batch, Remembered, Skipped

CPU_ERROR = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried")
ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), CPU_ERROR, MemoryError()]


class Small:
    """A model with memory for `most` images; an embedding is the first pixel's red, green and blue."""

    name = "small"
    dimensions = 3

    def __init__(self, most: int, error: Exception = CPU_ERROR, *, batch_size: int = 100, device: str = "cpu") -> None:
        self.most = most
        self.error = error
        self.runtime = SimpleNamespace(
            device=device, kind=device.split(":")[0], precision="fp32", batch_size=batch_size
        )
        self.asked: list[int] = []

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.asked.append(len(pixels))
        if len(pixels) > self.most:
            raise self.error
        return pixels[:, 0, 0].float()


def batch(count: int, *, bad: bool = False) -> Batch:
    """Images that differ, and perhaps one that cannot be read."""
    items = tuple(in_memory(str(n)) for n in range(count))
    entries = (Skipped(in_memory("bad"), "not an image"), *items) if bad else items
    return Batch(entries, np.random.default_rng(count).integers(0, 255, (count, 2, 2, 3), dtype=np.uint8))


def first_pixels(one: Batch) -> np.ndarray:
    """The embeddings that `Small` gives."""
    return one.pixels[:, 0, 0].astype(np.float32)


def embedder(model: Any) -> Any:
    """The model's embedder, for batches."""
    made = Embedder(model)
    return made, lambda one: made(torch.from_numpy(one.pixels), ids=[str(n) for n in range(len(one.pixels))])


@pytest.mark.parametrize("error", ERRORS, ids=["card", "processor", "Python"])
def test_a_batch_too_large_is_halved_and_the_size_is_remembered(error: Exception) -> None:
    model = Small(3, error)
    made, embed = embedder(model)
    warned = []
    for one in (batch(16), batch(16), batch(5)):
        np.testing.assert_array_equal(embed(one), first_pixels(one))
        warned.append([warning.message for warning in made.warnings()])
    assert model.asked == [16, 8, 4, *[2] * 8, *[2] * 8, 2, 2, 1]
    assert [len(messages) for messages in warned] == [1, 0, 0]
    assert "does not hold 16 images at once, but 2;" in warned[0][0]
    assert "--batch-size 2" in warned[0][0]


def test_a_batch_that_fits_is_encoded_at_once() -> None:
    model = Small(100)
    made, embed = embedder(model)
    embed(batch(16))
    embed(batch(7))
    assert model.asked == [16, 7]
    assert list(made.warnings()) == []


def test_a_later_batch_may_need_less_still() -> None:
    model = Small(4)
    _, embed = embedder(model)
    embed(batch(4))
    model.most = 1
    np.testing.assert_array_equal(embed(batch(4)), first_pixels(batch(4)))
    assert model.asked == [4, 4, 2, 1, 1, 1, 1]


def test_not_even_one_image_is_an_error() -> None:
    with pytest.raises(ClipcliError, match="does not hold small and one image; close other programs"):
        embedder(Small(0))[1](batch(4))


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        embedder(Small(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))[1](batch(4))


def test_embeddings_that_are_no_numbers_are_an_error_that_names_the_image() -> None:
    model: Any = Small(9)
    model.encode_images = lambda _: torch.tensor([[1.0, 2, 3], [1, torch.nan, 3]])
    with pytest.raises(ClipcliError, match="small in fp32 gives no numbers for b; check the weights"):
        Embedder(model)(torch.zeros(2, 2, 2, 3, dtype=torch.uint8), ids=["a", "b"])


def encoded(models: list[Any], batches: list[tuple[Batch, ...]]) -> list[list[np.ndarray]]:
    """All embeddings."""
    return [embeddings for _, embeddings in Encoders(models, watch=Stopwatch()).each(batches)]


def test_nothing_to_encode() -> None:
    model = Small(1)
    [[embeddings]] = encoded([model], [(Batch((Skipped(in_memory("x"), "empty"),), np.empty((0, 0, 0, 3), np.uint8)),)])
    assert (embeddings.shape, model.asked) == ((0, 3), [])


def test_a_bad_image_takes_no_row() -> None:
    one = batch(3, bad=True)
    [[embeddings]] = encoded([Small(9)], [(one,)])
    np.testing.assert_array_equal(embeddings, first_pixels(one))


def test_each_model_encodes_only_images_that_it_does_not_remember() -> None:
    known = np.ones(3, np.float32)
    whole, by_first, by_second = (known, known), (known, None), (None, known)
    remembered = [Remembered(in_memory(str(n)), one) for n, one in enumerate([whole, by_first, by_second])]
    # Of what every model remembers there are no pixels.
    pixels = batch(4).pixels
    one = Batch(
        (remembered[0], in_memory("new"), Skipped(in_memory("bad"), "no"), *remembered[1:], in_memory("last")), pixels
    )
    models = [Small(9), Small(9)]
    [[first, second]] = encoded(models, [(one, one)])
    np.testing.assert_array_equal(first, first_pixels(one)[[0, 2, 3]])
    np.testing.assert_array_equal(second, first_pixels(one)[[0, 1, 3]])
    assert [model.asked for model in models] == [[3], [3]]


def test_a_model_with_smaller_batches_encodes_in_its_own() -> None:
    models = [Small(9, batch_size=5), Small(9, batch_size=2)]
    one = batch(5)
    [[first, second]] = encoded(models, [(one, one)])
    np.testing.assert_array_equal(first, second)
    assert [model.asked for model in models] == [[5], [2, 2, 1]]


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
        def start(self, pixels: np.ndarray) -> Tensor:
            log.append(f"copy {len(pixels)}")
            return torch.from_numpy(pixels)

        def finished(self, started: Tensor) -> Tensor:
            log.append(f"encode {len(started)}")
            return started

    monkeypatch.setattr("clipcli.encoding.copies.Copies", Copies)
    model = Small(2, device="cuda")
    batches = [batch(3), batch(2), batch(1, bad=True)]
    for [embeddings], one in zip(encoded([model], [(one,) for one in batches]), batches, strict=True):
        np.testing.assert_array_equal(embeddings, first_pixels(one))
    assert log == ["copy 3", "copy 2", "encode 3", "copy 2", "encode 2", "encode 2"]
    assert model.asked == [3, 1, 1, 1, 1, 1, 1, 1]


class TestTexts:
    """What a model gives for a text is looked at before it is stored, as for an image."""

    @pytest.fixture
    def overflowing(self, model: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """A model that gives no numbers for texts about dogs, as fp16 may."""
        encode_texts = Towers.encode_texts

        def overflown(self: Towers, tokens: Tensor) -> Tensor:
            embeddings = encode_texts(self, tokens)
            # The token of `dog` in open_clip's vocabulary.
            embeddings[(tokens == 1929).any(dim=1)] = float("nan")
            return embeddings

        monkeypatch.setattr(Towers, "encode_texts", overflown)
        return model

    def test_nan_is_an_error_and_is_not_kept(
        self, overflowing: str, photos: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: dict[str, Any] = {"labels": str(labels), "model": overflowing, "device": "cpu", "prompts": "plain"}
        with pytest.raises(
            ClipcliError, match=r"in bf16 gives no numbers for the text '.*dog.*'; try precision='fp32'"
        ):
            list(clipcli.classify(str(photos), precision="bf16", **given))
        with pytest.raises(ClipcliError, match=r"gives no numbers for the text '.*dog.*'; check the weights"):
            list(clipcli.classify(str(photos), precision="fp32", **given))
        monkeypatch.undo()
        rows = list(clipcli.classify(str(photos), precision="fp32", **given))
        assert all(math.isfinite(row.scores[0]) for row in rows)

    def test_what_an_earlier_version_kept_is_encoded_anew(
        self, photos: Path, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: dict[str, Any] = {"labels": str(labels), "model": model, "device": "cpu", "prompts": "plain"}
        right = list(clipcli.classify(str(photos), **given))
        get = Memory.get

        def with_nan(self: Memory, keys: Any) -> Any:
            return {key: np.full_like(one, np.nan) for key, one in get(self, keys).items()}

        monkeypatch.setattr(Memory, "get", with_nan)
        again = list(clipcli.classify(str(photos), **given))
        assert again == right
