"""A run with a model that was prepared needs neither torch nor open_clip, and says which engine it used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clipcli
from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.encoding.engines import openvino, quick, store
from clipcli.encoding.engines.convert import converted
from clipcli.encoding.model import Model
from clipcli.errors import ClipcliWarning
from clipcli.events import Event, Noted, Warned, result_of
from clipcli.loaded import LoadSettings
from clipcli.memory.memory import open_memory
from clipcli.records import Row
from clipcli.scoring.build import embed_classes

from .test_engines import REAL, Fake

LABELS = ["cat", "dog", "beach"]
PROMPTS = [("a photo of a cat.", "a cat"), ("a very long text about a beach " * 9,), ("café",)]
LOADED = {"torch", "open_clip", "transformers", "torchvision", "timm"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, models: dict[str, Path]) -> Fake:
    """OpenVINO, as if it were installed."""
    both = Model(str(models["vit"]), LoadSettings(precision="fp32"), memory=open_memory(cache=False))
    return Fake(monkeypatch, result_of(both.load(IMAGE, TEXT)))


@pytest.fixture
def no_towers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, no model may be loaded with torch."""
    return lambda: monkeypatch.setattr(Model, "load", lambda *_: pytest.fail("torch was loaded"))


def opened(folder: Path, **settings: object) -> Model:
    """A model with the cache of the test."""
    return Model(str(folder), LoadSettings(precision="fp32", **settings), memory=open_memory(cache=True))  # type: ignore[arg-type]


def prepared(folder: Path) -> list[str | None]:
    """Prepare a model, and return what is wrong with its towers."""
    return [verdict.problem for verdict in result_of(opened(folder).prepare(IMAGE, TEXT))]


def rows(photos: Path, folder: Path, labels: list[str] | None = None, **settings: object) -> list[Row]:
    """The rows of a run."""
    return list(clipcli.classify(photos, labels=labels or LABELS, model=str(folder), precision="fp32", **settings))  # type: ignore[arg-type]


def embedded(model: Model) -> tuple[list[np.ndarray], list[Event]]:
    """Class embeddings, and what was said."""
    said: list[Event] = []
    return result_of(embed_classes(PROMPTS, names=PROMPTS, model=model), show=said.append), said


def test_new_photos_and_labels_need_no_torch(
    fake: Fake, models: dict[str, Path], photos: Path, no_towers: Callable[[], None]
) -> None:
    expected = rows(photos, models["vit"], engine="torch", cache=False)
    assert prepared(models["vit"]) == [None, None]
    assert store.usage()[0] == fake.converted == 2
    no_towers()
    for found, wanted in zip(rows(photos, models["vit"]), expected, strict=True):
        assert (found.labels, found.error) == (wanted.labels, wanted.error)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=2e-6)
    assert len(rows(photos, models["vit"], labels=["lake", "café"])) == len(expected)


@pytest.mark.usefixtures("fake")
def test_texts_are_embedded_as_torch_does(models: dict[str, Path]) -> None:
    by_torch, _ = embedded(opened(models["vit"], engine="torch"))
    assert prepared(models["vit"]) == [None, None]
    found, said = embedded(opened(models["vit"], engine="openvino"))
    np.testing.assert_allclose(found, by_torch, atol=1e-6)
    assert [event.message for event in said if isinstance(event, Noted)] == [
        "OpenVINO 1.0 encodes the labels without torch, as the model was prepared; least cosine to torch 1.00000"
    ]


def test_embeddings_belong_to_their_engine(fake: Fake, models: dict[str, Path]) -> None:
    assert prepared(models["vit"]) == [None, None]
    fake.change = lambda embeddings: -embeddings
    by_openvino, _ = embedded(opened(models["vit"], engine="openvino"))
    by_torch, _ = embedded(opened(models["vit"], engine="torch"))
    np.testing.assert_allclose(by_openvino[0], -by_torch[0], atol=1e-6)
    # auto takes what is there, torch's first.
    by_auto, _ = embedded(opened(models["vit"]))
    np.testing.assert_array_equal(by_auto, by_torch)


@pytest.mark.usefixtures("fake")
def test_many_prompts_are_left_to_torch(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared(models["vit"]) == [None, None]
    monkeypatch.setattr(quick, "MOST_PROMPTS", 3)
    assert not [event for event in embedded(opened(models["vit"]))[1] if isinstance(event, Noted)]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("function", "error", "said"),
    [
        ("load", MemoryError("bad_alloc"), "bad_alloc"),
        ("library", ImportError("no libtbb"), "it cannot be imported: no libtbb"),
    ],
)
def test_a_good_tower_is_not_forgotten(
    function: str, error: Exception, said: str, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took half a minute to convert, and what failed was something else."""

    def fails(*_: object, **__: object) -> None:
        raise error

    assert prepared(models["vit"]) == [None, None]
    with monkeypatch.context() as patched:
        patched.setattr(openvino, function, fails)
        warned = [event.message for event in embedded(opened(models["vit"]))[1] if isinstance(event, Warned)]
        assert f"OpenVINO cannot be used for {models['vit']}: {said}; torch goes on" in warned
    assert len(list(store.engines_path().glob("*/tower.bin"))) == 2


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("tower", [IMAGE, TEXT])
def test_a_broken_tower_is_said_once_and_made_anew(models: dict[str, Path], photos: Path, tower: str) -> None:
    assert prepared(models["vit"]) == [None, None]
    [file] = store.engines_path().glob(f"*-{tower}-*/tower.bin")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    with pytest.warns(ClipcliWarning, match="its file is not as it was written; torch goes on") as said:
        assert len(rows(photos, models["vit"])) == 6
    assert len(said) == 1
    assert file.read_bytes() == content
    later = [event.message for event in embedded(opened(models["vit"]))[1] if isinstance(event, Warned)]
    assert not [message for message in later if "OpenVINO" in message]


def test_a_run_that_was_long_anyway_prepares_the_model_at_its_end(
    fake: Fake, models: dict[str, Path], photos: Path, monkeypatch: pytest.MonkeyPatch, no_towers: Callable[[], None]
) -> None:
    assert len(rows(photos, models["vit"])) == 6
    assert fake.converted == 0
    monkeypatch.setattr("clipcli.encoding.model.LONG_RUN", 0)
    each = clipcli.classify(photos, labels=LABELS, model=str(models["vit"]), precision="fp32", color="raw")
    assert [fake.converted for _ in each] == [0] * 6
    assert fake.converted == 2
    no_towers()
    assert len(rows(photos, models["vit"], labels=["hill"], decode="fast")) == 6


@pytest.mark.usefixtures("fake")
def test_towers_of_other_weights_are_not_used(models: dict[str, Path], photos: Path) -> None:
    assert prepared(models["vit"]) == [None, None]
    assert opened(models["vit"]).is_prepared(IMAGE)
    # Of another model, and of one whose weights have changed.
    rows(photos, models["resnet"])
    assert not opened(models["resnet"]).is_prepared(IMAGE)
    weights = models["vit"] / "open_clip_model.safetensors"
    os.utime(weights)
    assert opened(models["vit"]).facts is None
    assert not opened(models["vit"], engine="torch").is_prepared(IMAGE)


def test_the_way_to_do_without_torch_is_named_once(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "version", lambda: None)
    hints = []
    for labels in (["cat"], ["dog"], ["lake"]):
        said: list[Event] = []
        model = opened(models["vit"])
        result_of(embed_classes([labels], names=[labels], model=model), show=said.append)
        hints.append([event.message for event in said if isinstance(event, Noted)])
    folder = models["vit"]
    assert hints == [
        [],
        [
            "With few new photos or labels, most of a run is loading torch: pip install openvino, then clipcli models"
            f" {folder} --prepare makes that unnecessary."
        ],
        [],
    ]


def test_another_tokenizer_is_left_to_torch(fake: Fake) -> None:
    other = replace(fake.backbone, tokenizer=lambda texts: fake.backbone.tokenizer(texts))
    assert converted(other, TEXT)[1].problem == "its tokenizer is not CLIP's own"


@pytest.mark.skipif(not REAL, reason="needs OpenVINO")
@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_openvino_itself_gives_torchs_texts_and_the_same_rows_without_it(
    models: dict[str, Path], photos: Path, name: str, no_towers: Callable[[], None]
) -> None:
    by_torch, _ = embedded(opened(models[name], engine="torch"))
    assert prepared(models[name]) == [None, None]
    np.testing.assert_allclose(embedded(opened(models[name], engine="openvino"))[0], by_torch, atol=1e-5)
    expected = rows(photos, models[name], engine="openvino", cache=False)
    no_towers()
    without = rows(photos, models[name], engine="openvino", top_k=3)
    assert [row.labels[:1] for row in without] == [row.labels for row in expected]


@pytest.mark.skipif(not REAL, reason="needs OpenVINO")
def test_torch_is_not_imported(models: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    assert prepared(models["vit"]) == [None, None]
    output = str(tmp_path / "o.csv")
    given = ["--labels", "cat, café", "--model", str(models["vit"]), "--precision", "fp32", "-o", output]
    command = [sys.executable, "-X", "importtime", "-m", "clipcli", "classify", str(photos), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "numpy" in imported
    assert not imported & LOADED
    assert "OpenVINO" in done.stderr
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 7
