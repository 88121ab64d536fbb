"""The compiled image tower is used where it gives what torch gives and, unless it was asked for, where it is faster."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import clipcli
from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.encoding.embedder import Embedder
from clipcli.encoding.engines import choose, compiled
from clipcli.encoding.engines.agreement import probe_images
from clipcli.encoding.engines.choose import COMPILING_PAYS_FROM, check_engine, with_engine
from clipcli.errors import MissingExtra, UsageError
from clipcli.events import Event, Noted, Warned, result_of

LABELS = ["cat", "dog", "beach"]
SIZE = 6


def image_tower(folder: Path, precision: str = "fp32") -> Backbone:
    """The image tower of a model on the processor, for batches of six."""
    runtime = choose_runtime(device="cpu", precision=precision, batch_size=SIZE)
    return load(result_of(backbones.find(str(folder))()), runtime=runtime, towers=("image",))


@pytest.fixture
def backbone(models: dict[str, Path]) -> Backbone:
    """A one-layer ViT."""
    return image_tower(models["vit"])


class Compiler:
    """Stands for torch.compile: what it gives overwrites its last result, as a CUDA graph does, and can be changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        self.settings: dict[str, object] = {}
        self.reset = 0
        self.change: Callable[[Tensor], Tensor] = lambda embeddings: embeddings
        self.failure: Exception | None = None
        monkeypatch.setattr(torch, "compile", self.compile)
        monkeypatch.setattr(compiled, "forget", self.forget)

    def compile(self, function: Callable[[Tensor], Tensor], **settings: object) -> Callable[[Tensor], Tensor]:
        self.settings = settings
        memory: list[Tensor] = []

        def run(images: Tensor) -> Tensor:
            if self.failure:
                raise self.failure
            self.batches.append(len(images))
            found = self.change(function(images))
            if not memory:
                memory.append(torch.empty_like(found))
            return memory[0].copy_(found)

        return run

    def forget(self) -> None:
        self.reset += 1


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """A compiler that takes no time."""
    return Compiler(monkeypatch)


def chosen(backbone: Backbone, *, engine: str = "compiled", images: int = 1) -> tuple[Backbone, list[Event]]:
    """The backbone with its engine, and what was said."""
    said: list[Event] = []
    return result_of(with_engine(backbone, engine=engine, images=images), show=said.append), said


def on_a_card(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, *, times: float) -> Backbone:
    """The backbone as if it were on a card, on which compiled code is so many times as fast."""
    as_it_is = backbone.encode_images
    monkeypatch.setattr(compiled, "encoder", lambda _: as_it_is)
    monkeypatch.setattr(compiled, "speedup", lambda *_: times)
    return replace(backbone, runtime=replace(backbone.runtime, device="cuda"), engine=as_it_is)


@pytest.mark.parametrize("count", range(1, SIZE + 1))
def test_only_whole_batches_are_compiled(compiler: Compiler, backbone: Backbone, count: int) -> None:
    encode = compiled.encoder(backbone)
    pixels = probe_images(backbone.preprocessing, images=count)
    torch.testing.assert_close(encode(pixels), backbone.encode_images(pixels))
    assert compiler.batches == ([] if count <= SIZE // 2 else [SIZE])
    assert compiler.settings == {"dynamic": False, "mode": None}


@pytest.mark.usefixtures("compiler")
def test_a_result_outlives_the_next_batch(backbone: Backbone) -> None:
    encode = compiled.encoder(backbone)
    pixels = probe_images(backbone.preprocessing, images=2 * SIZE)
    found = torch.cat([encode(part) for part in pixels.split(SIZE)])
    torch.testing.assert_close(found, backbone.encode_images(pixels))


def test_what_the_memory_does_not_hold_gets_smaller(compiler: Compiler, backbone: Backbone) -> None:
    kept, _ = chosen(backbone)
    compiler.failure = torch.OutOfMemoryError("CUDA out of memory")
    pixels = probe_images(backbone.preprocessing, images=SIZE)
    embedder = Embedder(kept)
    embeddings = embedder(pixels, ids=[str(n) for n in range(SIZE)])
    np.testing.assert_allclose(embeddings, backbone.encode_images(pixels).numpy(), atol=1e-6)
    [warned] = embedder.warnings()
    assert "--batch-size 3" in warned.message


@pytest.mark.usefixtures("compiler")
def test_it_is_used_and_said_so(backbone: Backbone) -> None:
    kept, said = chosen(backbone)
    assert kept.engine
    assert [type(event) for event in said] == [Noted, Noted]
    assert said[1] == Noted("torch.compile's code encodes the images; least cosine to torch 1.00000")


def test_other_embeddings_are_refused(compiler: Compiler, backbone: Backbone) -> None:
    compiler.change = lambda embeddings: embeddings.roll(1, dims=0)
    kept, said = chosen(backbone)
    assert kept is backbone
    assert isinstance(said[-1], Warned)
    assert "its embeddings are not torch's: least cosine" in said[-1].message
    assert compiler.reset == 1


@pytest.mark.parametrize("error", [RuntimeError("\n no C compiler \n and more"), KeyError("x"), AssertionError()])
def test_what_cannot_be_compiled_stays_in_torch(compiler: Compiler, backbone: Backbone, error: Exception) -> None:
    compiler.failure = error
    kept, said = chosen(backbone)
    assert kept is backbone
    assert isinstance(said[-1], Warned)
    assert said[-1].message.startswith(f"torch.compile cannot be used for {backbone.name}: ")
    assert said[-1].message.endswith("; torch goes on as it is")
    assert "\n" not in said[-1].message


def test_a_compiler_that_is_not_there_leaves_torch(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("torch.compile is not supported on this Python")

    monkeypatch.setattr(torch, "compile", refuse)
    kept, said = chosen(backbone)
    assert kept is backbone
    assert "is not supported on this Python" in said[-1].message


@pytest.mark.parametrize(("times", "used"), [(0.9, False), (1.09, False), (1.1, True), (2.0, True)])
def test_auto_keeps_it_only_where_it_is_faster(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, times: float, used: bool
) -> None:
    card = on_a_card(backbone, monkeypatch, times=times)
    kept, said = chosen(card, engine="auto", images=COMPILING_PAYS_FROM)
    assert (kept is not card) == used
    assert f"{times:.2f} times as fast" in said[-1].message
    assert isinstance(said[-1], Noted)
    assert chosen(card, engine="compiled")[0] is not card


@pytest.mark.usefixtures("compiler")
def test_auto_compiles_for_very_long_runs_on_a_card_alone(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcli.encoding.engines.openvino.version", lambda: None)
    assert chosen(backbone, engine="auto", images=COMPILING_PAYS_FROM) == (backbone, [])
    card = on_a_card(backbone, monkeypatch, times=2.0)
    assert chosen(card, engine="auto", images=COMPILING_PAYS_FROM - 1) == (card, [])
    assert chosen(card, engine="torch", images=COMPILING_PAYS_FROM) == (card, [])


@pytest.mark.usefixtures("compiler")
def test_both_ways_are_timed_in_turn(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([4.0, 1.0, 9.0, 2.0, 4.0, 2.0, 1.0, 2.0, 4.0, 9.0])
    monkeypatch.setattr(compiled, "_seconds", lambda *_: next(taken))
    assert compiled.speedup(backbone.encode_images, backbone) == 2.0


def test_every_device_and_precision_may_try(backbone: Backbone) -> None:
    for change in ({"device": "cuda"}, {"device": "mps"}, {"precision": "fp16"}):
        runtime = replace(backbone.runtime, **change)
        check_engine("compiled", runtime=runtime)
        with pytest.raises((MissingExtra, UsageError)):
            check_engine("openvino", runtime=runtime)


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_compiled_code_gives_the_rows_of_torch(
    models: dict[str, Path], name: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The compiler's own front, without a back that needs a C compiler.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    kept: list[Backbone] = []
    monkeypatch.setattr(choose, "with_engine", partial(_noting, kept, choose.with_engine))
    options = {"labels": LABELS, "model": str(models[name]), "precision": "fp32", "score": "cosine", "top_k": 3}
    expected = list(clipcli.classify(photos, engine="torch", **options))
    rows = list(clipcli.classify(photos, engine="compiled", batch_size=4, **options))
    assert [one.engine is None for one in kept] == [True, False]
    for row, other in zip(rows, expected, strict=True):
        found, wanted = (dict(zip(each.labels, each.scores, strict=True)) for each in (row, other))
        np.testing.assert_allclose([found[label] for label in LABELS], [wanted[label] for label in LABELS], atol=1e-5)


def _noting(
    kept: list[Backbone], with_engine: Any, backbone: Backbone, **asked: object
) -> Generator[Event, None, Backbone]:
    found = yield from with_engine(backbone, **asked)
    kept.append(found)
    return found
