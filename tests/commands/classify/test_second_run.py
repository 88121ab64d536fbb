"""What was seen before is not encoded again: the same rows, without torch, as long as images and model are the same."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import clipcli
from clipcli.backbones.backbone import Backbone
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.events import ClassesEncoded, Event, ModelKnown, ModelLoaded, RowsReady, Warned
from clipcli.memory.cache import Cache
from clipcli.records import Row

LABELS = ("cat", "dog", "beach")


def events_of(inputs: Path | str, model: str, *, labels: Any = LABELS, **options: Any) -> list[Event]:
    """All events of a run."""
    return list(run(ClassifySettings(inputs=(str(inputs),), labels=labels, model=model, **options)))


def rows_of(events: Sequence[Event]) -> list[Row]:
    """All rows of a run."""
    return [row for event in events if isinstance(event, RowsReady) for row in event.rows]


@pytest.fixture
def photos(photos: Path) -> Path:
    """The photos, and two files that are none."""
    (photos / "b-bad.jpg").write_text("no image")
    (photos / "e-cut.png").write_bytes((photos / "b.png").read_bytes()[:60])
    return photos


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is encoded from now on: `image` or `text` for each that goes through a model."""
    seen: list[str] = []
    images, texts = Backbone.encode_images, Backbone.encode_texts

    def encode_images(self: Backbone, pixels: Any) -> Any:
        seen.extend(["image"] * len(pixels))
        return images(self, pixels)

    def encode_texts(self: Backbone, given: Sequence[str]) -> Any:
        seen.extend(["text"] * len(given))
        return texts(self, given)

    monkeypatch.setattr(Backbone, "encode_images", encode_images)
    monkeypatch.setattr(Backbone, "encode_texts", encode_texts)
    return seen


def test_a_second_run_encodes_nothing_and_gives_the_same_rows(photos: Path, model: str, encoded: list[str]) -> None:
    first = events_of(photos, model, batch_size=2)
    assert encoded
    encoded.clear()
    second = events_of(photos, model, batch_size=2)
    assert encoded == []
    assert rows_of(second) == rows_of(first)
    assert [row.error for row in rows_of(first)].count(None) < len(rows_of(first)), "some image is bad"
    assert any(isinstance(event, ModelKnown) for event in second)
    assert not any(isinstance(event, ModelLoaded) for event in second)
    assert rows_of(events_of(photos, model, batch_size=2, cache=False)) == rows_of(first)


@pytest.mark.slow
def test_a_second_run_loads_no_torch(photos: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    code = (
        "import sys; from clipcli.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as e: print(e.code, 'torch' in sys.modules, 'open_clip' in sys.modules)"
    )
    told = []
    for name in ("one.csv", "two.csv"):
        command = ["classify", photos, "--labels", tmp_path / "labels.txt", "--model", model, "-o", tmp_path / name]
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, timeout=300
        )
        told.append(done.stdout)
    assert told == ["3 True True\n", "3 False False\n"]
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_a_new_label_costs_its_prompts_only(photos: Path, model: str, encoded: list[str]) -> None:
    options = {"prompts": "name", "precision": "fp32"}
    events_of(photos, model, **options)
    encoded.clear()
    rows = rows_of(events_of(photos, model, labels=(*LABELS, "whale"), **options))
    assert encoded == ["text"]
    expected = rows_of(events_of(photos, model, labels=(*LABELS, "whale"), cache=False, **options))
    assert [(row.path, row.labels, row.error) for row in rows] == [(e.path, e.labels, e.error) for e in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row.scores == pytest.approx(other.scores, abs=1e-6)


def test_only_new_images_are_encoded_and_all_stay_in_their_places(
    photos: Path, model: str, tmp_path: Path, encoded: list[str]
) -> None:
    names = sorted(path.name for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
    some = tmp_path / "list.txt"
    some.write_text("".join(f"{photos / name}\n" for name in names[::2]))
    events_of(f"@{some}", model, batch_size=2)
    encoded.clear()
    events = events_of(photos, model, batch_size=2)
    fresh = events_of(photos, model, batch_size=2, cache=False)
    assert 0 < encoded.count("image") < 2 * len(rows_of(fresh))
    assert [(row.path, row.labels, row.error) for row in rows_of(events)] == [
        (row.path, row.labels, row.error) for row in rows_of(fresh)
    ]
    for row, expected in zip(rows_of(events), rows_of(fresh), strict=True):
        assert row.scores == pytest.approx(expected.scores, abs=1e-6)


def test_an_image_that_changed_is_encoded_again(photos: Path, model: str, encoded: list[str]) -> None:
    before = {row.path: row for row in rows_of(events_of(photos, model))}
    encoded.clear()
    Image.new("RGB", (40, 30), "red").save(photos / "a.jpg")
    after = {row.path: row for row in rows_of(events_of(photos, model))}
    assert encoded == ["image"]
    assert [path for path in after if after[path] != before[path]] == [str(photos / "a.jpg")]


def test_content_counts_where_it_is_verified(
    photos: Path, model: str, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other image has the same size and time, and the system knows no more, so that only its content tells."""
    monkeypatch.setattr(
        "clipcli.memory.images.state_of", lambda path: (os.stat(path).st_size, os.stat(path).st_mtime_ns, 0, 0, 0)
    )
    path = photos / "a.bmp"
    Image.new("RGB", (40, 30), "red").save(path)
    stat = path.stat()
    before = rows_of(events_of(photos, model))
    Image.new("RGB", (40, 30), "blue").save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert rows_of(events_of(photos, model)) == before
    encoded.clear()
    verified = rows_of(events_of(photos, model, verify=True))
    assert encoded == ["image"]
    assert verified == rows_of(events_of(photos, model, cache=False))
    encoded.clear()
    assert rows_of(events_of(photos, model, verify=True)) == verified
    assert encoded == []


def test_images_in_a_zip_are_remembered_by_their_names(
    photos: Path, model: str, tmp_path: Path, encoded: list[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.iterdir():
            if path.is_file():
                archive.write(path, f"in/{path.name}")
    first = rows_of(events_of(tmp_path / "photos.zip", model))
    encoded.clear()
    assert rows_of(events_of(tmp_path / "photos.zip", model)) == first
    assert encoded == []
    assert len({row.scores for row in first}) > 2


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"other model": True}])
def test_other_embeddings_are_not_mistaken_for_these(
    photos: Path, models: dict[str, Path], tmp_path: Path, encoded: list[str], change: dict[str, Any]
) -> None:
    model = str(shutil.copytree(models["vit"], tmp_path / "model"))
    events_of(photos, model, precision="fp32")
    encoded.clear()
    if change.pop("other model", False):
        shutil.rmtree(model)
        shutil.copytree(models["resnet"], model)
    rows = rows_of(events_of(photos, model, **{"precision": "fp32", **change}))
    assert "image" in encoded
    assert rows == rows_of(events_of(photos, model, **{"precision": "fp32", **change}, cache=False))


def test_a_folder_called_as_a_bundled_model_is_another_model(
    photos: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, photos.parent / "tiny")
    monkeypatch.chdir(photos.parent)
    bundled, own = (rows_of(events_of("photos", name)) for name in ("tiny", "./tiny"))
    assert own == rows_of(events_of("photos", model, cache=False))
    assert bundled == rows_of(events_of("photos", "tiny")) != own


def test_preprocessing_of_the_same_weights_makes_other_embeddings(
    photos: Path, models: dict[str, Path], tmp_path: Path, encoded: list[str]
) -> None:
    model = shutil.copytree(models["vit"], tmp_path / "model")
    events_of(photos, str(model))
    encoded.clear()
    config = model / "open_clip_config.json"
    config.write_text(config.read_text().replace('"shortest"', '"squash"'))
    rows = rows_of(events_of(photos, str(model)))
    assert encoded.count("image") > 0
    assert rows == rows_of(events_of(photos, str(model), cache=False))


def test_a_ready_classifier_needs_no_model_the_second_time(photos: Path, model: str, encoded: list[str]) -> None:
    classifier = clipcli.build_classifier(LABELS, model=model)
    first = list(clipcli.classify(photos, classifier=classifier))
    encoded.clear()
    assert list(clipcli.classify(photos, classifier=classifier)) == first
    assert encoded == []


def test_where_the_cache_breaks_meanwhile_all_rows_come_all_the_same(
    photos: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows_of(events_of(photos, model, batch_size=2, cache=False))
    put = Cache.put_bytes

    def full(self: Cache, values: Any, *, kind: str) -> None:
        if kind == "image embeddings":
            raise clipcli.errors.CacheUnusable("the disk is full")
        put(self, values, kind=kind)

    monkeypatch.setattr(Cache, "put_bytes", full)
    events = events_of(photos, model, batch_size=2)
    assert rows_of(events) == expected
    assert [event.message for event in events if isinstance(event, Warned)] == ["the disk is full; going on without it"]


def test_a_broken_cache_is_warned_about_and_left_alone(photos: Path, model: str) -> None:
    expected = rows_of(events_of(photos, model, cache=False))
    path = Cache().path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database " * 100)
    events = events_of(photos, model)
    assert rows_of(events) == expected
    [warned] = [event.message for event in events if isinstance(event, Warned)]
    assert "going on without it" in warned


def test_embeddings_that_went_from_the_cache_meanwhile_are_made_again(photos: Path, model: str) -> None:
    first = rows_of(events_of(photos, model, batch_size=2))
    with sqlite3.connect(Cache().path) as connection:
        rows = connection.execute("SELECT key FROM entries WHERE kind = 'image embeddings' ORDER BY key").fetchall()
        connection.execute("DELETE FROM entries WHERE key = ?", rows[0])
    events = events_of(photos, model, batch_size=2)
    assert rows_of(events) == first
    assert any(isinstance(event, ModelLoaded) for event in events)


def test_the_cache_is_left_alone_where_that_is_asked_for(photos: Path, model: str) -> None:
    events = events_of(photos, model, cache=False)
    assert not Cache().path.exists()
    assert any(isinstance(event, ClassesEncoded) for event in events)


def test_a_cache_too_small_for_the_images_loses_the_oldest(photos: Path, model: str, encoded: list[str]) -> None:
    expected = rows_of(events_of(photos, model, batch_size=2, cache_size="1KB"))
    encoded.clear()
    assert rows_of(events_of(photos, model, batch_size=2, cache_size="1KB")) == expected
    assert encoded


def test_what_else_lies_beside_the_model_changes_nothing(
    photos: Path, models: dict[str, Path], tmp_path: Path, encoded: list[str]
) -> None:
    model = shutil.copytree(models["vit"], tmp_path / "model")
    events_of(photos, str(model))
    encoded.clear()
    (model / "labels.csv").write_text("the rows of a run")
    assert any(isinstance(event, ModelKnown) for event in events_of(photos, str(model)))
    assert encoded == []
    (model / "open_clip_pytorch_model.bin").write_bytes(b"other weights")
    assert not any(isinstance(event, ModelKnown) for event in events_of(photos, str(model)))


@pytest.mark.parametrize("other", [{"decode": "fast"}, {"engine": "torch"}])
def test_embeddings_made_another_way_are_not_mixed(
    photos: Path, model: str, encoded: list[str], other: dict[str, str]
) -> None:
    events_of(photos, model)
    encoded.clear()
    events_of(photos, model, **other)
    assert encoded.count("image") > 0
    encoded.clear()
    events_of(photos, model, **other)
    events_of(photos, model)
    assert encoded == []
