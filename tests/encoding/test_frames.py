"""Frames of one file: the mean of their embeddings, or a row for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcli
from clipcli.backbones.checkpoint import IMAGE
from clipcli.commands.embed.settings import EmbedSettings
from clipcli.data.images import list_images
from clipcli.encoding.embed import towers_for
from clipcli.encoding.model import Model
from clipcli.memory.memory import open_memory

pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photo, an animation of five frames, and one of two, with each frame of the first as a file."""
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(5)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "a.png")
    for name, some in (("b.webp", frames), ("c.tif", frames[:2])):
        some[0].save(tmp_path / "in" / name, save_all=True, append_images=some[1:], lossless=True)
    for n, frame in enumerate(frames):
        frame.save(tmp_path / f"{n}.png")
    return tmp_path


def unit(rows: np.ndarray) -> np.ndarray:
    """The mean of embeddings `[N, D]`, normalised."""
    mean = rows.mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("isolate", [False, True])
def test_the_mean_of_frames_counts(folder: Path, model: str, isolate: bool) -> None:
    alone = clipcli.embed([folder / f"{n}.png" for n in range(5)], model=model, cache=False).embeddings
    for cache in (False, True, True):
        found = clipcli.embed(folder / "in", model=model, frames=3, cache=cache, isolate=isolate)
        assert [Path(path).name for path in found.ids] == ["a.png", "b.webp", "c.tif"]
        np.testing.assert_allclose(found.embeddings[0], alone[0], atol=1e-6)
        np.testing.assert_allclose(found.embeddings[1], unit(alone[[0, 2, 4]]), atol=1e-6)
        np.testing.assert_allclose(found.embeddings[2], unit(alone[:2]), atol=1e-6)
    first = clipcli.embed(folder / "in", model=model, cache=True).embeddings
    np.testing.assert_allclose(first[1], alone[0], atol=1e-6)


def test_a_frame_of_another_count_is_another_image(folder: Path, model: str) -> None:
    """The second of three frames, and the second of five, have one name."""
    alone = clipcli.embed([folder / f"{n}.png" for n in range(5)], model=model, cache=False).embeddings
    for count, places in ((3, [0, 2, 4]), (5, [0, 1, 2, 3, 4]), (3, [0, 2, 4])):
        found = clipcli.embed(folder / "in" / "b.webp", model=model, frames=count, cache=True)
        np.testing.assert_allclose(found.embeddings[0], unit(alone[places]), atol=1e-6)


def test_no_tower_is_due_for_frames_that_are_remembered(folder: Path, model: str) -> None:
    settings = EmbedSettings(folder / "in", frames=3)
    items = list_images([str(folder / "in")])
    opened = Model(model, settings, memory=open_memory(cache=True))
    assert towers_for(items, model=opened) == (IMAGE,)
    clipcli.embed(folder / "in", model=model, frames=3)
    opened = Model(model, settings, memory=open_memory(cache=True))
    assert towers_for(items, model=opened) == ()


@pytest.mark.parametrize("isolate", [False, True])
def test_each_frame_has_a_row(folder: Path, model: str, isolate: bool) -> None:
    (folder / "in" / "d.gif").write_text("no image")
    found = list(
        clipcli.classify(
            folder / "in", labels=["cat", "dog"], model=model, frames=3, frame_rows=True, isolate=isolate, cache=False
        )
    )
    assert [Path(row.path).name for row in found] == [
        "a.png",
        *("b.webp#frame=1", "b.webp#frame=2", "b.webp#frame=3"),
        *("c.tif#frame=1", "c.tif#frame=2"),
        "d.gif",
    ]
    alone = list(
        clipcli.classify([folder / f"{n}.png" for n in (0, 0, 2, 4, 0, 1)], labels=["cat", "dog"], model=model)
    )
    for row, one in zip(found, alone, strict=False):
        assert row.labels == one.labels
        assert row.scores == pytest.approx(one.scores, abs=1e-5)
    assert found[-1].error == "not an image"


def test_a_file_of_which_no_frame_is_read_is_skipped_once(folder: Path, model: str) -> None:
    (folder / "in" / "a.gif").write_text("no image")
    rows = list(clipcli.classify(folder / "in", labels=["cat", "dog"], model=model, frames=3, cache=False))
    assert [(Path(row.path).name, row.error) for row in rows] == [
        ("a.gif", "not an image"),
        ("a.png", None),
        ("b.webp", None),
        ("c.tif", None),
    ]
