"""A model that is loaded once gives what the functions give, call after call."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcli
from clipcli.backbones import load as weights
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed
from clipcli.encoding.model import Model
from clipcli.errors import ClipcliWarning, InputNotFound, UnknownName, UsageError, WeightsMismatch
from clipcli.memory.memory import Memory, open_memory
from clipcli.records import Embedded
from clipcli.scoring.score import cosine_of

LABELS = ["cat", "dog", "beach"]
HOW: dict[str, Any] = {"precision": "fp32", "cache": False}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The towers of each model that is loaded from now on."""
    seen: list[tuple[str, ...]] = []
    load = weights.load

    def counted(*args: Any, towers: tuple[str, ...], **options: Any) -> Any:
        seen.append(towers)
        return load(*args, towers=towers, **options)

    monkeypatch.setattr(weights, "load", counted)
    return seen


@pytest.mark.parametrize("cache", [True, False])
def test_any_number_of_calls_load_the_model_once(
    photos: Path, model: str, loads: list[tuple[str, ...]], cache: bool
) -> None:
    loaded = clipcli.load(model, cache=cache)
    assert loads == [("image", "text")]
    list(loaded.classify(photos, labels=LABELS))
    list(loaded.classify(photos / "a.jpg", labels=[*LABELS, "whale"]))
    loaded.embed_images(photos)
    loaded.embed_texts(["a cat", "a whale"])
    assert loads == [("image", "text")]
    list(clipcli.classify(photos, labels=LABELS, model=model, cache=False))
    assert len(loads) > 1, "loads are counted"


def test_rows_are_those_of_the_function(photos: Path, model: str) -> None:
    (photos / "bad.jpg").write_text("no image")
    loaded = clipcli.load(model, **HOW)
    for options in (
        {"labels": LABELS},
        {"labels": {"cat": ["kitten"], "dog": None}, "top_k": 2, "score": "cosine", "prompts": "plain"},
        {"labels": ["hot_dog", "cat"], "keep_names": True, "exclude": "*.bmp"},
    ):
        rows = loaded.classify(photos, **options)
        expected = list(clipcli.classify(photos, model=model, **HOW, **options))
        assert len(rows) == len(expected) >= 6
        assert list(rows) == expected
    classifier = clipcli.build_classifier(LABELS, model=model)
    assert list(loaded.classify(photos, classifier=classifier)) == list(
        clipcli.classify(photos, classifier=classifier, **HOW)
    )


@pytest.mark.parametrize("architecture", ["vit", "resnet", "sigmoid"])
def test_image_embeddings_are_those_that_are_scored(photos: Path, models: dict[str, Path], architecture: str) -> None:
    loaded = clipcli.load(models[architecture], **HOW)
    found = loaded.embed_images(photos)
    assert (found.shape, found.dtype) == ((6, loaded.dimensions), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    settings = clipcli.ClassifySettings(photos, **HOW)
    [ordinary] = [
        event.embeddings[0]
        for event in embed(
            list_images([str(photos)]), models=[Model(str(models[architecture]), settings, memory=Memory(None))]
        )
        if isinstance(event, Embedded)
    ]
    assert found.tobytes() == ordinary.tobytes()
    classifier = clipcli.build_classifier(LABELS, model=models[architecture], **HOW)
    rows = list(loaded.classify(photos, classifier=classifier, score="cosine"))
    assert [row.scores[0] for row in rows] == cosine_of(found, classifier).max(axis=1).tolist()


def test_remembered_images_are_the_same_to_the_byte(photos: Path, model: str) -> None:
    first = clipcli.load(model, precision="fp32").embed_images(photos)
    memory = open_memory(cache=True)
    settings = clipcli.ClassifySettings(photos, precision="fp32")
    store = Model(model, settings, memory=memory).store
    assert store is not None
    remembered = np.stack([one.embeddings[0] for one in store.look_up(list_images([str(photos)]))])  # type: ignore[union-attr]
    assert first.tobytes() == remembered.tobytes()
    assert clipcli.load(model, precision="fp32").embed_images(photos).tobytes() == first.tobytes()


def test_text_embeddings_are_those_of_classes(model: str) -> None:
    texts = ["a photo of a cat.", "two dogs", "a photo of a cat."]
    loaded = clipcli.load(model, **HOW)
    found = loaded.embed_texts(texts)
    assert (found.shape, found.dtype) == ((3, loaded.dimensions), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found[0].tobytes() == found[2].tobytes() != found[1].tobytes()
    classifier = clipcli.build_classifier(texts[:2], model=model, prompts="{}", keep_names=True, **HOW)
    assert found[:2].tobytes() == classifier.class_embeddings.tobytes()
    assert loaded.embed_texts("two dogs").shape == (1, loaded.dimensions)
    assert loaded.embed_texts(text for text in ()).shape == (0, loaded.dimensions)


def test_one_image_of_memory_is_a_row(photos: Path, model: str) -> None:
    loaded = clipcli.load(model, **HOW)
    with Image.open(photos / "b.png") as image:
        one = loaded.embed_images(np.asarray(image))
        assert one.tobytes() == loaded.embed_images(image).tobytes()
    assert one.tobytes() == loaded.embed_images(photos / "b.png").tobytes()


def test_images_are_listed_as_the_settings_say(photos: Path, model: str) -> None:
    loaded = clipcli.load(model, **HOW)
    listed = photos / "list.txt"
    listed.write_bytes(f"{photos}/a.jpg\0{photos}/b.png\0".encode())
    both = [photos / "a.jpg", photos / "b.png"]
    assert loaded.embed_images(f"@{listed}", null=True).tobytes() == loaded.embed_images(both).tobytes()
    with Image.open(photos / "a.jpg") as image:
        image.save(photos / "g.pdf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [len(loaded.embed_images(photos, also=also)) for also in ((), "pdf")] == [6, 7]


def test_what_cannot_be_read_is_a_row_of_nan_and_said(photos: Path, model: str) -> None:
    (photos / "b-bad.jpg").write_text("no image")
    loaded = clipcli.load(model, **HOW)
    with pytest.warns(ClipcliWarning) as warned:
        found = loaded.embed_images(photos)
    assert [str(one.message) for one in warned] == [
        f"1 of 7 images cannot be read, such as {photos}/b-bad.jpg: not an image; their rows are NaN"
    ]
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False, False, False, False, False]
    (photos / "b-bad.jpg").unlink()
    assert found[~np.isnan(found[:, 0])].tobytes() == loaded.embed_images(photos).tobytes()
    with pytest.warns(ClipcliWarning, match="2 of 2 images cannot be read"):
        nothing = loaded.embed_images([np.zeros((0, 1), np.uint8)] * 2)
    assert np.isnan(nothing).all()
    assert nothing.shape == (2, loaded.dimensions)


def test_progress_has_the_total_from_the_start(photos: Path, model: str) -> None:
    told: list[tuple[int, int]] = []
    loaded = clipcli.load(model, batch_size=4, **HOW)
    loaded.embed_images(photos, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 6), (4, 6), (6, 6)]


def test_a_progress_that_fails_is_not_hidden(photos: Path, model: str) -> None:
    def stop(*counts: int) -> None:
        raise KeyError(*counts)

    with pytest.raises(KeyError, match="0, 6"):
        clipcli.load(model, **HOW).embed_images(photos, progress=stop)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.classify("x", labels=LABELS), InputNotFound, "no such image, folder or list: x; check the path"),
        (lambda m: m.classify("x", labels=LABELS, top_k=4), UsageError, "top_k=4 does not fit 3 classes; choose from"),
        (lambda m: m.classify("x"), UsageError, "neither labels nor a classifier was given; give labels or classifier"),
        (lambda m: m.embed_texts(["a", 3]), UsageError, "a text to embed is of type int; give a text or a list of te"),
        (lambda m: m.embed_texts(3), UsageError, "texts=3 is not a text or a list of texts"),
        (lambda m: m.embed_images({}), UsageError, "inputs are of type dict; give its values"),
        (lambda m: m.classify("x", labels=LABELS, device="cpu"), TypeError, "classify() got an unexpected keyword arg"),
    ],
)
def test_errors_speak_of_arguments(model: str, call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        call(clipcli.load(model, **HOW))
    assert str(raised.value).startswith(message)
    assert "--" not in str(raised.value)


def test_a_classifier_of_another_model_is_refused(photos: Path, models: dict[str, Path]) -> None:
    classifier = clipcli.build_classifier(LABELS, model=models["resnet"])
    with pytest.raises(
        WeightsMismatch, match=r"was made with .*resnet and not with these weights of .*vit; give model"
    ):
        list(clipcli.load(models["vit"]).classify(photos, classifier=classifier))


def test_what_is_wrong_with_the_model_is_said_when_it_is_loaded() -> None:
    with pytest.raises(UnknownName, match="unknown model 'tinny'"):
        clipcli.load("tinny")
    with pytest.raises(UnknownName, match="unknown device 'tpu'"):
        clipcli.load("tiny", device="tpu")
    with pytest.raises(UsageError, match="no NVIDIA card decodes on cpu; give decode='exact' or fast"):
        clipcli.load("tiny", device="cpu", decode="card")


def test_it_says_what_it_is(model: str) -> None:
    loaded = clipcli.load(Path(model))
    assert repr(loaded) == f"<clipcli model {model}, 16 dimensions>"
    assert loaded.name == model


def test_its_methods_are_documented_and_typed() -> None:
    required = inspect.Parameter.empty
    # The embeddings of a file may be classified in place of images.
    for method, name, default in (
        ("classify", "inputs", ()),
        ("embed_images", "inputs", required),
        ("embed_texts", "texts", required),
    ):
        found = getattr(clipcli.LoadedModel, method)
        first, second, *others = inspect.signature(found).parameters.values()
        assert (first.name, second.name, second.default) == ("self", name, default)
        assert all(other.kind is inspect.Parameter.KEYWORD_ONLY for other in others)
        assert "\nArguments:\n" in found.__doc__
        assert "--" not in found.__doc__
    assert {"device", "model", "cache"} & inspect.signature(clipcli.LoadedModel.classify).parameters.keys() == set()
    names = (
        inspect.signature(clipcli.load).parameters.keys() | inspect.signature(clipcli.LoadedModel.classify).parameters
    )
    assert names - {"self"} == inspect.signature(clipcli.classify).parameters.keys()


def test_warnings_of_a_method_are_placed_in_the_callers_code(photos: Path, model: str) -> None:
    loaded = clipcli.load(model, **HOW)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        list(loaded.classify(photos, labels=["cat", "cat", "dog"]))
    assert [one.filename for one in warned] == [__file__]
