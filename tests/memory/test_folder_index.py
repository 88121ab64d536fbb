"""The index of a folder: read as it was written, current only while nothing changed, and bounded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcli.errors import CacheUnusable
from clipcli.memory import folder_index
from clipcli.memory.folder_index import (
    FolderIndex,
    are_settled,
    file_states,
    folder_states,
    index_key,
    indexes_path,
    read_index,
    write_index,
)

NAMES = ("a.jpg", "more/b\udcff.jpg", "bad.jpg")
FOLDERS = ("", "more")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the files of the index."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes(b"content")
    return folder


def index_of(root: Path) -> FolderIndex:
    return FolderIndex(
        embeddings=np.arange(8, dtype=np.float32).reshape(2, 4),
        names=NAMES,
        reasons=("not an image",),
        states=file_states(str(root), NAMES),
        folders=FOLDERS,
        folder_states=folder_states(str(root), FOLDERS),
        said=((True, "a warning"), (False, "a note")),
        settled=True,
    )


def test_an_index_is_read_as_it_was_written(root: Path) -> None:
    index = index_of(root)
    write_index("k", index)
    read = read_index("k")
    assert read is not None
    for name in ("names", "reasons", "folders", "said", "settled"):
        assert getattr(read, name) == getattr(index, name)
    for name in ("embeddings", "states", "folder_states"):
        np.testing.assert_array_equal(getattr(read, name), getattr(index, name))
    assert read.is_current(str(root))
    assert read_index("other") is None


CHANGES: dict[str, Callable[[Path], object]] = {
    "new content of the same size and time": lambda root: _rewrite(root / "a.jpg"),
    "a new image": lambda root: (root / "new.jpg").touch(),
    "a new image below": lambda root: (root / "more" / "new.jpg").touch(),
    "an image less": lambda root: (root / "a.jpg").unlink(),
    "another name": lambda root: (root / "a.jpg").rename(root / "c.jpg"),
    "a folder less": lambda root: shutil.rmtree(root / "more"),
    "an image that could not be read": lambda root: (root / "bad.jpg").write_bytes(b"whole"),
    "another folder in its place": lambda root: _replace(root / "more"),
}


def _rewrite(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(b"changed")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _replace(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(root: Path, change: str) -> None:
    index = index_of(root)
    assert index.is_current(str(root))
    CHANGES[change](root)
    assert not index.is_current(str(root))


def test_a_folder_that_was_just_changed_is_not_trusted(root: Path) -> None:
    now = (root / "more").stat().st_mtime_ns
    assert not are_settled(str(root), FOLDERS, listed_at=now + 10**9)
    assert are_settled(str(root), FOLDERS, listed_at=now + 3 * 10**9)
    assert not replace(index_of(root), settled=False).is_current(str(root))


def test_a_key_is_of_one_folder_one_model_and_one_choice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = index_key(str(root), exclude=(), made_by="m")
    others = [
        index_key(str(root / "more"), exclude=(), made_by="m"),
        index_key(str(root), exclude=("*.gif",), made_by="m"),
        index_key(str(root), exclude=(), made_by="n"),
    ]
    assert len({key, *others}) == 4
    monkeypatch.chdir(root)
    assert index_key(".", exclude=(), made_by="m") == key


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"no index at all"])
def test_a_torn_file_is_no_index(content: bytes) -> None:
    indexes_path().mkdir(parents=True)
    (indexes_path() / "k.index").write_bytes(content)
    with pytest.raises(CacheUnusable, match="not as it was written"):
        read_index("k")


def test_the_least_used_indexes_make_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(root)
    for n, key in enumerate("abc"):
        write_index(key, index)
        os.utime(indexes_path() / f"{key}.index", (n, n))
    # To use one is to keep it.
    assert read_index("a") is not None
    size = (indexes_path() / "a.index").stat().st_size
    monkeypatch.setattr(folder_index, "MOST_BYTES", 3 * size)
    write_index("d", index)
    assert sorted(path.stem for path in indexes_path().iterdir()) == ["a", "c", "d"]
    assert folder_index.usage() == (3, 3 * size)
    assert folder_index.clear() == 3
    assert folder_index.usage() == (0, 0)
