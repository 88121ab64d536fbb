"""Photos that are there twice: grouped by embedding and perceptual hash, the best of each first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcli.commands.find import duplicates
from clipcli.commands.find.duplicates import Same, duplicates_in
from clipcli.commands.find.library import Part
from clipcli.events import ImagesCompared, result_of
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.limits import Limits
from clipcli.records import Held

ONE, OTHER = np.eye(2, 8, dtype=np.float32)


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of which is there four times, and a link."""
    picture(0).resize((80, 60)).save(tmp_path / "a small.jpg")
    picture(0).save(tmp_path / "b.jpg", quality=60)
    picture(0).save(tmp_path / "c.jpg", quality=95)
    shutil.copy(tmp_path / "c.jpg", tmp_path / "d.jpg")
    picture(1).save(tmp_path / "e.jpg")
    (tmp_path / "f.jpg").symlink_to(tmp_path / "e.jpg")
    return tmp_path


def groups(
    folder: Path,
    embeddings: list[np.ndarray],
    names: str = "a small,b,c,d,e,f",
    most: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Same]:
    part = Part(np.stack(embeddings), [f"{name}.jpg" for name in names.split(",")], (), root=str(folder))
    return result_of(duplicates_in([part], most=most, limits=limits))


def test_the_best_comes_first_and_copies_are_told(folder: Path) -> None:
    [same] = groups(folder, [ONE, ONE, ONE, ONE, OTHER, OTHER])
    assert [Path(photo.path).name for photo in same.photos] == ["c.jpg", "d.jpg", "b.jpg", "a small.jpg"]
    assert [(photo.width, photo.height) for photo in same.photos] == [(160, 120)] * 3 + [(80, 60)]
    assert [photo.copy_of for photo in same.photos] == [None, str(folder / "c.jpg"), None, None]
    assert same.photos[0].size == (folder / "c.jpg").stat().st_size


def test_near_embeddings_are_not_enough(folder: Path) -> None:
    assert groups(folder, [ONE, ONE], names="a small,e") == []


def test_nor_is_the_hash(folder: Path) -> None:
    assert groups(folder, [ONE, OTHER], names="b,c") == []


@pytest.mark.parametrize("block", [1, 2, 3])
def test_blocks_make_no_difference(folder: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    picture(1).save(folder / "g.jpg", quality=50)
    names, rows = "a small,g,b,e,c,d", [ONE, OTHER, ONE, OTHER, ONE, ONE]
    whole = groups(folder, rows, names)
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    assert groups(folder, rows, names) == whole
    assert [len(same.photos) for same in whole] == [4, 2]
    assert groups(folder, rows, names, most=1) == whole[:1]


def test_the_limits_on_decoding_hold(folder: Path) -> None:
    assert groups(folder, [ONE, ONE], names="b,c", limits=Limits(max_pixels=160 * 120 - 1)) == []


@pytest.mark.usefixtures("workers")
def test_with_isolate_nothing_is_decoded_in_this_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ONE, ONE, ONE, ONE, OTHER, OTHER]
    here, decode = groups(folder, rows), duplicates.decode

    def no_files(data: object, **options: Any) -> Image.Image:
        assert isinstance(data, Held)
        return decode(data, **options)

    monkeypatch.setattr(duplicates, "decode", no_files)
    assert groups(folder, rows, limits=Limits(isolate=True)) == here != []


def test_progress_and_files_that_are_gone(folder: Path) -> None:
    (folder / "b.jpg").unlink()
    part = Part(np.stack([ONE, ONE, ONE]), ["b.jpg", "c.jpg", "d.jpg"], (), root=str(folder))
    events: list[object] = []
    [same] = result_of(duplicates_in([part, part], most=None, limits=DEFAULT_LIMITS), show=events.append)
    assert [Path(photo.path).name for photo in same.photos] == ["c.jpg", "d.jpg"]
    assert events == [ImagesCompared(3, 3)]


def test_pairs_are_looked_at_from_a_cosine_that_few_others_reach() -> None:
    rng = np.random.default_rng(0)
    apart = rng.standard_normal((400, 64)).astype(np.float32)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    assert duplicates._least_cosine(apart) == duplicates.LEAST_COSINE
    alike = apart * 0.4 + np.full(64, 0.125, np.float32)
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    least = duplicates._least_cosine(alike)
    assert duplicates.LEAST_COSINE < least < duplicates.SURE_COSINE
    cosines = (alike @ alike.T)[np.triu_indices(400, 1)]
    assert (cosines >= least).mean() == pytest.approx(4 / 400, rel=0.02)
    assert duplicates._least_cosine(np.ones((9, 1), np.float32)) == duplicates.SURE_COSINE
