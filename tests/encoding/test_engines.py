"""Another engine encodes images only where it gives what torch gives; otherwise torch does, and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import clipcli
from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.encoding.engines import choose, convert, openvino, store
from clipcli.encoding.engines.choose import PAYS_FROM, check_engine, with_engine
from clipcli.encoding.engines.openvino import Tower
from clipcli.encoding.engines.prepared import PreparedImages
from clipcli.encoding.engines.store import Verdict
from clipcli.errors import ClipcliError, MissingExtra, UsageError
from clipcli.events import Event, Noted, Warned, result_of

LABELS = ["cat", "dog", "beach"]
REAL = openvino.version() is not None


def image_tower(folder: Path, precision: str = "fp32") -> Backbone:
    """The image tower of a model on the processor."""
    runtime = choose_runtime(device="cpu", precision=precision)
    return load(result_of(backbones.find(str(folder))()), runtime=runtime, towers=("image",))


@pytest.fixture
def backbone(models: dict[str, Path]) -> Backbone:
    """A one-layer ViT."""
    return image_tower(models["vit"])


class Fake:
    """Stands for OpenVINO: a converter that counts, and a tower that gives torch's embeddings, changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, backbone: Backbone) -> None:
        self.backbone = backbone
        self.converted = 0
        self.change: Callable[[Tensor], Tensor] = lambda embeddings: embeddings
        self.failure: Exception | None = None
        monkeypatch.setattr(openvino, "version", lambda: "1.0")
        monkeypatch.setattr(openvino, "library", lambda: None)
        monkeypatch.setattr(openvino, "load", self.load)
        monkeypatch.setattr(convert, "_traced", self.traced)

    def traced(self, module: torch.nn.Module, *_: object) -> bytes:
        self.converted += 1
        if self.failure:
            raise self.failure
        return type(module).__name__.encode()

    def load(self, content: np.ndarray, *, precision: str) -> Tower:
        assert precision == self.backbone.runtime.precision
        module = getattr(convert, content.tobytes().decode())(self.backbone)

        def tower(*inputs: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                found: np.ndarray = self.change(module(*map(torch.from_numpy, inputs))).numpy()
                return found

        return tower


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, backbone: Backbone) -> Fake:
    """OpenVINO, as if it were installed."""
    return Fake(monkeypatch, backbone)


def chosen(
    backbone: Backbone, *, engine: str = "openvino", images: int = 1
) -> tuple[Backbone | PreparedImages, list[Event]]:
    """The backbone with its engine, and what was said."""
    said: list[Event] = []
    return result_of(with_engine(backbone, engine=engine, images=images), show=said.append), said


def test_a_tower_is_converted_once(fake: Fake, backbone: Backbone) -> None:
    first, said = chosen(backbone)
    assert [type(event) for event in said] == [Noted, Noted]
    again, said = chosen(backbone)
    assert said == [Noted("OpenVINO 1.0 encodes the images; least cosine to torch 1.00000")]
    assert fake.converted == 1
    assert isinstance(first, PreparedImages)
    assert isinstance(again, PreparedImages)
    pixels = np.zeros((3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(again.encode_images(pixels), backbone.encode_images(torch.from_numpy(pixels)))
    assert (again.preprocessing, again.dimensions) == (backbone.preprocessing, 16)
    count, size = store.usage()
    assert (count, size > 0) == (1, True)


def test_other_embeddings_are_refused_and_not_converted_again(fake: Fake, backbone: Backbone) -> None:
    fake.change = lambda embeddings: embeddings.roll(1, dims=0)
    for _ in range(2):
        kept, said = chosen(backbone)
        assert kept is backbone
        assert isinstance(said[-1], Warned)
        assert "its embeddings are not torch's: least cosine" in said[-1].message
        assert said[-1].message.endswith("torch goes on")
    assert fake.converted == 1
    assert chosen(backbone, engine="auto", images=PAYS_FROM) == (backbone, [])
    assert not list(store.engines_path().rglob("tower.*"))


def test_no_numbers_are_refused(fake: Fake, backbone: Backbone) -> None:
    fake.change = lambda embeddings: embeddings * float("nan")
    assert chosen(backbone)[0] is backbone


def test_what_cannot_be_converted_stays_in_torch(fake: Fake, backbone: Backbone) -> None:
    fake.failure = RuntimeError("\n no such operation:  aten::x \n and more")
    kept, said = chosen(backbone, engine="auto", images=PAYS_FROM)
    assert kept is backbone
    assert said[-1] == Warned(f"OpenVINO cannot be used for {backbone.name}: no such operation: aten::x; torch goes on")
    assert chosen(backbone, engine="auto", images=PAYS_FROM) == (backbone, [])
    assert fake.converted == 1


def test_a_file_that_broke_without_being_touched_is_refused_before_the_first_image(
    fake: Fake, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(backbone)
    [tower] = store.engines_path().rglob("tower.bin")
    key, verdict = tower.parent.name, store.verdict_on(tower.parent.name)
    assert verdict is not None
    assert store.is_untouched(key, verdict)
    tower.write_bytes(b"_FromTokens")
    assert not store.is_untouched(key, verdict)
    monkeypatch.setattr(store, "is_untouched", lambda *_: True)
    kept, said = chosen(backbone)
    assert kept is backbone
    assert "its file is not as it was written; torch goes on" in said[-1].message
    assert (tower.exists(), fake.converted) == (False, 1)


def test_a_broken_file_is_made_anew_by_the_next_run(fake: Fake, backbone: Backbone) -> None:
    chosen(backbone)
    [tower] = store.engines_path().rglob("tower.bin")
    tower.write_bytes(b"_FromPixelz")
    kept, said = chosen(backbone)
    assert kept is backbone
    assert "its file is not as it was written; torch goes on" in said[-1].message
    assert isinstance(chosen(backbone)[0], PreparedImages)
    assert fake.converted == 2


@pytest.mark.usefixtures("fake")
def test_auto_converts_for_long_runs_and_takes_what_is_converted(backbone: Backbone) -> None:
    assert chosen(backbone, engine="auto", images=PAYS_FROM - 1) == (backbone, [])
    assert isinstance(chosen(backbone, engine="auto", images=PAYS_FROM)[0], PreparedImages)
    assert isinstance(chosen(backbone, engine="auto", images=1)[0], PreparedImages)
    assert chosen(backbone, engine="torch", images=PAYS_FROM) == (backbone, [])


@pytest.mark.parametrize("change", [{"precision": "fp16"}, {"device": "cuda"}])
def test_auto_leaves_alone_what_openvino_cannot_run(fake: Fake, backbone: Backbone, change: dict[str, str]) -> None:
    other = replace(backbone, runtime=replace(backbone.runtime, **change))
    assert chosen(other, engine="auto", images=PAYS_FROM) == (other, [])
    assert fake.converted == 0


def test_another_preprocessing_weights_or_version_is_another_tower(
    fake: Fake, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(backbone)
    chosen(replace(backbone, preprocessing=replace(backbone.preprocessing, mean=(0.1, 0.2, 0.3))))
    chosen(replace(backbone, fingerprint="0" * 64))
    monkeypatch.setattr(openvino, "version", lambda: "2.0")
    chosen(backbone)
    assert fake.converted == 4
    assert store.usage()[0] == 4
    assert (store.clear(), store.usage()) == (4, (0, 0))


@pytest.mark.usefixtures("fake")
def test_a_cache_that_cannot_be_written_leaves_torch(backbone: Backbone) -> None:
    store.engines_path().parent.mkdir(parents=True, exist_ok=True)
    store.engines_path().write_text("a file")
    kept, said = chosen(backbone)
    assert kept is backbone
    assert "cannot keep a converted model" in said[-1].message


def test_an_interrupted_conversion_leaves_nothing() -> None:
    def interrupted() -> tuple[bytes, Verdict]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.keep("key", interrupted)
    assert list(store.engines_path().iterdir()) == []


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("engine", "change", "error", "message"),
    [
        ("onnx", {}, UsageError, "unknown engine"),
        ("openvino", {"device": "cuda"}, UsageError, "runs on the processor, not on cuda"),
        ("openvino", {"precision": "fp16"}, UsageError, "in fp32 or bf16, not in fp16"),
    ],
)
def test_what_an_engine_cannot_do(
    backbone: Backbone, engine: str, change: dict[str, str], error: type[ClipcliError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_engine(engine, runtime=replace(backbone.runtime, **change))


def test_without_openvino_the_pip_command_is_named(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "version", lambda: None)
    with pytest.raises(MissingExtra, match=r"pip install openvino"):
        list(clipcli.classify(photos, labels=LABELS, model=model, engine="openvino"))
    assert len(list(clipcli.classify(photos, labels=LABELS, model=model, engine="auto"))) == 6


@pytest.mark.skipif(not REAL, reason="needs OpenVINO")
@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_gives_the_rows_of_torch(
    models: dict[str, Path], name: str, precision: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "PAYS_FROM", 1)
    options = {"labels": LABELS, "model": str(models[name]), "precision": precision, "score": "cosine", "top_k": 3}
    for batch_size in (4, 1):
        expected = list(clipcli.classify(photos, engine="torch", batch_size=batch_size, **options))
        rows = list(clipcli.classify(photos, engine="auto", batch_size=batch_size, **options))
        assert store.usage()[0] == 1
        assert [verdict_of(key).problem for key in store.engines_path().iterdir()] == [None]
        for row, other in zip(rows, expected, strict=True):
            found, wanted = (dict(zip(each.labels, each.scores, strict=True)) for each in (row, other))
            atol = 1e-5 if precision == "fp32" else 0.03
            np.testing.assert_allclose(
                [found[label] for label in LABELS], [wanted[label] for label in LABELS], atol=atol
            )


def verdict_of(folder: Path) -> Verdict:
    """The verdict on a converted tower."""
    verdict = store.verdict_on(folder.name)
    assert verdict is not None
    return verdict
