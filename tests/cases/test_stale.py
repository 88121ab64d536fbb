"""Files that are others than they were, though their size and time are the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import clipcli
from clipcli.backbones import bundled
from clipcli.backbones.open_clip_folder import WEIGHTS_NAME
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.data.reference import open_zip
from clipcli.errors import WeightsMismatch
from clipcli.events import ModelKnown, RowsReady
from clipcli.files import identity
from clipcli.files.identity import state_of
from clipcli.memory.models import files_around

LABELS = ["cat", "dog", "house", "tree", "sea"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of noise without compression, so that another one has the same size."""
    path = tmp_path / "photos" / "a.bmp"
    path.parent.mkdir()
    Image.effect_noise((64, 48), 80).convert("RGB").save(path)
    return path


def replaced(path: Path, *, in_place: bool) -> None:
    """Put another photo in place of this one, and keep its size and time."""
    stat = path.stat()
    other = Image.open(path).convert("RGB").transpose(Image.Transpose.ROTATE_180)
    target = path if in_place else path.with_suffix(".new.bmp")
    other.save(target)
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    target.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def scores(folder: Path, *, cache: bool = True) -> tuple[float, ...]:
    [row] = clipcli.classify(folder, labels=LABELS, model="tiny", cache=cache, top_k=5, score="cosine")
    return row.scores


@pytest.mark.parametrize("in_place", [True, False])
def test_a_photo_that_was_replaced_or_turned_has_a_new_label(photo: Path, in_place: bool) -> None:
    """immich#14020: a file turned by `exiftran -i`, with its time kept, kept its old embedding."""
    before = scores(photo.parent)
    replaced(photo, in_place=in_place)
    after = scores(photo.parent)
    assert after == scores(photo.parent, cache=False)
    assert after != before


def test_a_photo_in_a_zip_that_was_replaced_has_a_new_label(photo: Path, tmp_path: Path) -> None:
    def archive() -> Path:
        made = Path(shutil.make_archive(str(tmp_path / "p"), "zip", photo.parent))
        os.utime(made, ns=(10**18, 10**18))
        return made

    before = scores(archive())
    replaced(photo, in_place=True)
    assert scores(archive()) == scores(photo.parent, cache=False) != before


def test_a_photo_that_was_copied_back_is_not_encoded_again(photo: Path) -> None:
    scores(photo.parent)
    stat = photo.stat()
    shutil.copy2(photo, photo.with_suffix(".copy"))
    photo.with_suffix(".copy").replace(photo)
    assert photo.stat().st_ino != stat.st_ino
    for _ in range(2):
        events = list(run(ClassifySettings(photo.parent, labels=LABELS, model="tiny")))
        assert any(isinstance(event, ModelKnown) for event in events)
        assert any(isinstance(event, RowsReady) for event in events)


def test_the_state_of_a_file_changes_with_its_content_alone(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system has no time of the last change, as Windows has none."""
    for has_change_time in (True, False):
        monkeypatch.setattr(identity, "_HAS_CHANGE_TIME", has_change_time)
        before = state_of(photo)
        assert state_of(photo) == before
        replaced(photo, in_place=True)
        assert state_of(photo) != before


def test_weights_that_were_replaced_are_other_weights(photo: Path) -> None:
    before = files_around(photo)
    replaced(photo, in_place=True)
    assert files_around(photo) != before


def test_a_bundled_model_is_another_one_in_another_installation(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two installations share a cache, and what is known of the one's `tiny` was taken for the other's."""
    before = scores(photo.parent)
    elsewhere = shutil.copytree(bundled.folder("tiny"), tmp_path / "tiny")
    weights = load_file(elsewhere / WEIGHTS_NAME)
    weights["text_projection"] = -weights["text_projection"]
    save_file(weights, elsewhere / WEIGHTS_NAME)
    monkeypatch.setattr(bundled, "folder", lambda _: elsewhere)
    assert scores(photo.parent)[0] == pytest.approx(-before[-1], abs=1e-5)


def test_weights_that_change_during_a_run_end_it(model: str, photo: Path, tmp_path: Path) -> None:
    """Else embeddings of two models would be compared, and the cache would keep the ones as the other's."""
    folder = shutil.copytree(model, tmp_path / "model")

    def label() -> str:
        settings = ClassifySettings((photo.parent,), labels=["cat", "dog"], model=str(folder))
        for event in run(settings):
            if isinstance(event, ModelKnown):
                weights = load_file(folder / WEIGHTS_NAME)
                save_file(weights | {"text_projection": -weights["text_projection"]}, folder / WEIGHTS_NAME)
            if isinstance(event, RowsReady):
                return event.rows[0].labels[0]
        raise AssertionError("no row")

    label()
    Image.effect_noise((64, 48), 80).convert("RGB").save(photo.parent / "b.bmp")
    with pytest.raises(WeightsMismatch, match=r"the weights of .* have changed since this run began; run it again"):
        label()


def test_a_zip_that_was_replaced_is_opened_anew(photo: Path, tmp_path: Path) -> None:
    made = shutil.make_archive(str(tmp_path / "p"), "zip", photo.parent)
    os.utime(made, ns=(10**18, 10**18))
    opened = open_zip(made)
    assert open_zip(made) is opened
    shutil.copy2(made, f"{made}.new")
    os.replace(f"{made}.new", made)
    assert open_zip(made) is not opened
