"""Images that a program holds give the rows of their files, and leave nothing in the cache."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import clipcli
from clipcli.images.icc import ADOBE_GAMMA, ADOBE_RGB, matrix_profile
from clipcli.memory.cache import Cache
from clipcli.records import Row

LABELS = ["cat", "dog", "beach"]


def classified(inputs: Any, model: str, **options: Any) -> list[Row]:
    """Rows with the scores of all classes."""
    return list(clipcli.classify(inputs, labels=LABELS, model=model, top_k=3, precision="fp32", **options))


def told(rows: list[Row]) -> list[tuple[Any, ...]]:
    """What rows say, but for what the images are called."""
    return [(row.labels, row.scores, row.error) for row in rows]


def test_lists_of_anything_give_the_rows_of_the_files(photos: Path, model: str) -> None:
    paths = [photos / name for name in ("a.jpg", "b.png", "c.webp", "d.jpg", "e.bmp")]
    expected = classified(paths, model, cache=False)
    with Image.open(paths[0]) as opened, open(paths[2], "rb") as stream:
        array, buffer = np.asarray(Image.open(paths[1])), io.BytesIO(paths[3].read_bytes())
        rows = classified([opened, array, stream, buffer, paths[4]], model, cache=False)
    assert told(rows) == told(expected)
    assert len({row.scores for row in rows}) == 5
    assert [row.path for row in rows] == [
        *(str(paths[0]), "inputs[1]", str(paths[2]), "inputs[3]", str(paths[4])),
    ]


@pytest.mark.parametrize("color", ["managed", "raw"])
def test_colours_are_managed_as_those_of_files_are(tmp_path: Path, photos: Path, model: str, color: str) -> None:
    profile = matrix_profile(ADOBE_RGB, gamma=ADOBE_GAMMA)
    with Image.open(photos / "b.png") as image:
        image.convert("RGB").save(tmp_path / "wide.png", icc_profile=profile)
    expected = classified(tmp_path / "wide.png", model, color=color)
    with Image.open(tmp_path / "wide.png") as image:
        assert classified(image, model, color=color) == expected
    plain = classified(photos / "b.png", model)
    assert (told(expected) == told(plain)) == (color == "raw")


def test_an_image_under_the_name_of_a_file_is_not_taken_for_it(photos: Path, model: str) -> None:
    path = photos / "a.jpg"
    of_file = classified(path, model)
    with Image.open(path) as image:
        image.paste("red", (0, 0, *image.size))
        changed = classified(image, model)
    assert changed[0].path == str(path)
    assert told(changed) != told(of_file)
    assert told(changed) == told(classified(np.full((40, 90, 3), (255, 0, 0), np.uint8), model))
    assert classified(path, model) == of_file


def test_the_cache_holds_nothing_of_them(photos: Path, model: str) -> None:
    with Image.open(photos / "a.jpg") as image, open(photos / "a.jpg", "rb") as stream:
        given = [image, np.asarray(image), stream]
        first = classified(given, model)
        kept = {usage.kind: usage.entries for usage in Cache().usage()}
        assert "image embeddings" not in kept
        assert kept["class embeddings"] == 3
        assert classified(given, model) == first


def test_one_that_cannot_be_read_is_a_row_with_the_reason(photos: Path, model: str) -> None:
    rows = classified([io.BytesIO(b"no image"), photos / "a.jpg", io.BytesIO(), np.zeros((0, 4), np.uint8)], model)
    assert [(row.path, row.error) for row in rows] == [
        ("inputs[0]", "not an image"),
        (f"{photos}/a.jpg", None),
        ("inputs[2]", "an empty file"),
        ("inputs[3]", "an image of no pixels"),
    ]


def test_a_column_of_a_table_is_a_list(photos: Path, model: str) -> None:
    table = pd.DataFrame({"path": [str(photos / "a.jpg"), str(photos / "b.png")], "name": ["cat", "dog"]})
    rows = list(clipcli.classify(table["path"], labels=table["name"], model=model))
    assert [row.path for row in rows] == list(table["path"])
    assert rows == list(clipcli.classify(list(table["path"]), labels=["cat", "dog"], model=model))


def test_a_mapping_of_labels_keeps_their_aliases(photos: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("dog: [puppy]\ncat:\n  descriptions: [a cat sleeps.]\nbeach:\n")
    mapping = {"dog": ["puppy"], "cat": {"descriptions": ["a cat sleeps."]}, "beach": []}
    options: dict[str, Any] = {"model": model, "prompts": "plain", "cache": False}
    of_file = clipcli.build_classifier(tmp_path / "labels.yaml", **options)
    of_mapping = clipcli.build_classifier(mapping, **options)
    assert of_mapping.labels == ("dog", "cat", "beach")
    assert of_mapping.digest() == of_file.digest()
    without = clipcli.build_classifier(["dog", "cat", "beach"], **options)
    changed = (of_mapping.class_embeddings != without.class_embeddings).any(axis=1)
    assert changed.tolist() == [True, True, False]
    rows = list(clipcli.classify(photos, labels=mapping, **options))
    assert rows == list(clipcli.classify(photos, labels=tmp_path / "labels.yaml", **options))


def test_the_number_of_rows_is_known_before_the_model_is_loaded(
    photos: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "bad.jpg").write_text("no image")
    loads: list[str] = []
    load = clipcli.commands.classify.run.Model.load
    monkeypatch.setattr(
        "clipcli.encoding.model.Model.load", lambda self, *towers: loads.append(self.name) or load(self, *towers)
    )
    rows = clipcli.classify(photos, labels=LABELS, model=model)
    assert isinstance(rows, clipcli.Rows)
    assert (len(rows), loads) == (7, [])
    first = next(rows)
    assert first.path == f"{photos}/a.jpg"
    assert loads
    assert (len(rows), len([first, *rows])) == (7, 7)
    assert list(rows) == []


def test_what_is_wrong_is_said_by_the_call(photos: Path, model: str) -> None:
    with pytest.raises(clipcli.ClipcliError, match="no such image, folder or list: nowhere"):
        clipcli.classify([photos, "nowhere"], labels=LABELS, model=model)
