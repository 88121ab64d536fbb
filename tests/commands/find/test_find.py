"""Photos by words and by other photos: the nearest by cosine, and an index that never tells of what was."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from small_data import FP32

import clipcli
from clipcli.commands.find import library
from clipcli.commands.find.library import Part
from clipcli.commands.find.run import Finding, run
from clipcli.commands.find.search import search
from clipcli.commands.find.settings import FindSettings
from clipcli.errors import BadFile, ClipcliWarning, InputNotFound, UsageError
from clipcli.events import Event, ImagesEmbedded, Noted, result_of
from clipcli.memory.folder_index import indexes_path

SIX = ["a.jpg", "b.png", "c.webp", "d.jpg", "e.bmp", "more/f.jpg"]


def found(model: str, text: str | None, *inputs: Path | str, **options: Any) -> tuple[Finding, list[Event]]:
    """What was found, and the events."""
    events: list[Event] = []
    settings = FindSettings(text, inputs, model=model, **{**FP32, **options})
    return result_of(run(settings), show=events.append), events


def encoded(events: Sequence[Event]) -> int:
    """How many images were not in an index."""
    return max((event.total for event in events if isinstance(event, ImagesEmbedded)), default=0)


def settle(folder: Path) -> None:
    """Make the folder one that was changed long ago."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        os.utime(path, (time.time() - 100,) * 2)


def embedded(model: str, paths: Sequence[Path]) -> NDArray[np.float32]:
    return clipcli.load(model, **FP32).embed_images(list(paths))


def test_scores_are_cosines_best_first(photos: Path, model: str) -> None:
    loaded = clipcli.load(model, **FP32)
    images, [text, other] = loaded.embed_images(photos), loaded.embed_texts(["a dog", "people"])
    hits = clipcli.find("a dog", photos, model=model, **FP32)
    expected = dict(zip([str(photos / name) for name in SIX], images @ text, strict=True))
    assert [hit.path for hit in hits] == sorted(expected, key=lambda path: -expected[path])
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True), abs=1e-6)
    # Less a text, and with a photo, which is left out itself.
    query = text + images[1] - other
    expected = dict(zip([str(photos / name) for name in SIX], images @ (query / np.linalg.norm(query)), strict=True))
    del expected[str(photos / "b.png")]
    hits = clipcli.find("a dog", photos, like=photos / "b.png", without="people", model=model, **FP32)
    assert {hit.path: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6)


def test_as_many_as_are_wanted(photos: Path, model: str) -> None:
    every = [hit.score for hit in clipcli.find("a dog", photos, model=model, **FP32)]
    assert [hit.score for hit in clipcli.find("a dog", photos, top=2, model=model, **FP32)] == every[:2]
    least = (every[2] + every[3]) / 2
    assert [hit.score for hit in clipcli.find("a dog", photos, min_score=least, model=model, **FP32)] == every[:3]
    assert clipcli.find("a dog", photos, min_score=1, model=model, **FP32) == []


def test_ten_unless_a_score_is_given() -> None:
    rows = np.linspace(1, 0, 40, dtype=np.float32)[:, None]
    part = Part(rows, [str(n) for n in range(40)], (), root="")
    query = np.ones(1, np.float32)
    assert [hit.path for hit in search([part], query, top=10, min_score=None)] == [str(n) for n in range(10)]
    assert len(search([part], query, top=None, min_score=0.5)) == 20
    assert [hit.path for hit in search([part, part], query, top=3, min_score=None)] == ["0", "1", "2"]


def test_an_index_is_used_while_nothing_changed(photos: Path, model: str) -> None:
    settle(photos)
    first, events = found(model, "a dog", photos)
    assert encoded(events) == 6
    again, events = found(model, "a dog", photos)
    assert encoded(events) == 0
    assert [(hit.path, hit.score) for hit in again.hits] == [(hit.path, hit.score) for hit in first.hits]
    assert len(list(indexes_path().glob("*.index"))) == 1


def test_new_changed_and_vanished_files_are_noticed(photos: Path, model: str) -> None:
    settle(photos)
    found(model, "a dog", photos)
    Image.new("RGB", (50, 40), "red").save(photos / "new.png")
    shutil.copy(photos / "b.png", photos / "a.jpg")
    (photos / "d.jpg").unlink()
    settle(photos)
    finding, events = found(model, "a dog", photos)
    assert encoded(events) == 2
    now = [photos / name for name in ("a.jpg", "b.png", "c.webp", "e.bmp", "more/f.jpg", "new.png")]
    [text] = clipcli.load(model, **FP32).embed_texts("a dog")
    expected = dict(zip(map(str, now), embedded(model, now) @ text, strict=True))
    assert {hit.path: hit.score for hit in finding.hits} == pytest.approx(expected, abs=1e-6)
    assert encoded(found(model, "a dog", photos)[1]) == 0


def test_bad_images_are_told_every_time(photos: Path, model: str) -> None:
    (photos / "bad.jpg").write_bytes(b"nonsense")
    (photos / "notes.pdf").touch()
    settle(photos)
    for _ in range(2):
        finding, events = found(model, "a dog", photos)
        assert [(entry.item.id, entry.reason) for entry in finding.skipped] == [
            (str(photos / "bad.jpg"), "not an image")
        ]
        assert finding.images == 6
        assert any(isinstance(event, Noted) and "notes.pdf" in event.message for event in events)
    with pytest.warns(ClipcliWarning, match="1 of 7 images cannot be read, such as .*bad.jpg: not an image"):
        clipcli.find("a dog", photos, model=model, **FP32)
    Image.new("RGB", (50, 40), "red").save(photos / "bad.jpg", "JPEG")
    assert found(model, "a dog", photos)[0].images == 7


def test_verify_reads_the_images(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(photos)
    found(model, "a dog", photos)
    monkeypatch.setattr(library, "read_index", lambda _: pytest.fail("the index was read"))
    assert encoded(found(model, "a dog", photos, verify=True)[1]) == 6


def test_without_a_cache_nothing_is_kept(photos: Path, model: str) -> None:
    finding, _ = found(model, "a dog", photos, cache=False)
    assert len(finding.hits) == 6
    assert not indexes_path().exists()


def test_other_inputs_beside_a_folder(photos: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{photos / 'a.jpg'}\n{photos / 'b.png'}\n")
    finding, _ = found(model, "a dog", photos / "more", f"@{tmp_path / 'list.txt'}")
    assert sorted(hit.path for hit in finding.hits) == [str(photos / name) for name in ("a.jpg", "b.png", "more/f.jpg")]


def test_the_current_folder_is_the_default(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    finding, events = found(model, "a dog")
    assert sorted(hit.path for hit in finding.hits) == [f"./{name}" for name in SIX]
    assert Noted("Looking through the current folder; name folders behind the text to look through others.") in events


def test_a_place_in_place_of_the_text(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    finding, events = found(model, "more", like="a.jpg")
    assert [hit.path for hit in finding.hits] == ["more/f.jpg"]
    assert Noted("Looking through more; for photos that show that, name a folder behind it.") in events
    _, events = found(model, "more")
    said = "Looking for what the word more says; to look through that place, put a text before it."
    assert Noted(said) in events


@pytest.mark.parametrize(
    ("error", "text", "options", "message"),
    [
        (UsageError, None, {}, "nothing to look for; give a text"),
        (UsageError, " ", {}, "the text is empty"),
        (UsageError, "dog", {"without": "dog"}, "are the same"),
        (UsageError, None, {"duplicates": True, "like": "a.jpg"}, "compares all images with each other"),
        (UsageError, "dog", {"duplicates": True}, "there is nothing called dog"),
        (InputNotFound, "dog", {"inputs": "nothere"}, "no such image, folder or list: nothere"),
        (InputNotFound, "dog", {"like": "nothere.jpg"}, "no such image, folder or list: nothere.jpg"),
        (BadFile, "dog", {"like": "bad.jpg"}, "bad.jpg: not an image; give photos that can be read to like"),
    ],
)
def test_mistakes_are_told(
    photos: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    text: str | None,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(photos)
    (photos / "bad.jpg").write_bytes(b"nonsense")
    with pytest.raises(error, match=message):
        clipcli.find(text, **{"model": model, **FP32, **options})
