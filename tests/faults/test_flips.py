"""Each byte of what the cache keeps is changed in turn: a checksum finds it, it is made anew, and it is said once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from clipcli.data.reference import digest_of
from clipcli.encoding.engines import store
from clipcli.encoding.engines.store import EngineRefused, Verdict
from clipcli.errors import CacheUnusable
from clipcli.memory import contents
from clipcli.memory.cache import Cache
from clipcli.memory.folder_index import FolderIndex, indexes_path, read_index, write_index
from clipcli.memory.images import ImageStore
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts, ModelRequest, keep, look_up
from clipcli.records import ImageItem, Reference, Remembered

EMBEDDING = np.linspace(-1, 1, 16, dtype=np.float32)
FACTS = ModelFacts(
    name="m",
    fingerprint="f",
    device="cpu",
    precision="fp32",
    runtime="r",
    details="d",
    dimensions=16,
    preprocessing="p",
    logit_scale=100.0,
    logit_bias=None,
    score="softmax",
    weights="/none",
    files=(),
)
REQUEST = ModelRequest("m", "cpu", "fp32")
INDEX = FolderIndex(
    embeddings=EMBEDDING.reshape(2, 8),
    names=("a.jpg", "b.jpg"),
    reasons=(),
    states=np.arange(2),
    folders=("",),
    folder_states=np.arange(1),
    said=((True, "a warning"),),
    settled=True,
)


@pytest.fixture
def image(tmp_path: Path) -> ImageItem:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"content")
    return ImageItem(str(path), Reference("file", str(path)), digest=digest_of(b"content"))


def images_of(memory: Memory) -> ImageStore:
    return ImageStore(memory, FACTS, made_with=(), verify=False)


@pytest.fixture
def filled(image: ImageItem) -> Cache:
    """A cache with an entry of every kind, in one file."""
    cache = Cache()
    memory = Memory(cache)
    memory.put({"class": EMBEDDING}, kind="class embeddings")
    memory.put_bytes({"checks class": b"{}"}, kind="label checks")
    keep(FACTS, request=REQUEST, memory=memory)
    found = images_of(memory)
    assert list(found.look_up([image])) == [image]
    found.keep((image,), EMBEDDING[None])
    # The log is part of the file from now on.
    with closing(sqlite3.connect(cache.path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return cache


def read_all(image: ImageItem) -> tuple[Memory, int]:
    """What a run takes of the cache; returns the number of kinds that were found, each as it was put."""
    memory = Memory(Cache())
    found = [
        [(vector.tolist(), EMBEDDING.tolist()) for vector in memory.get(["class"]).values()],
        [(value, b"{}") for value in memory.get_bytes(["checks class"]).values()],
        [(facts, FACTS) for facts in [look_up(REQUEST, memory=memory)] if facts is not None],
        [
            (entry.embeddings[0].tolist(), EMBEDDING.tolist())
            for entry in images_of(memory).look_up([image])
            if isinstance(entry, Remembered)
        ],
        [(digest, image.digest) for digest in contents.contents_of([image.id], memory=memory).values()],
    ]
    for kind in found:
        for value, wanted in kind:
            assert value == wanted
    return memory, sum(map(len, found))


def flips(path: Path, places: Iterator[int] | range, *, draw: np.random.Generator) -> Iterator[int]:
    """Change the byte of each place in turn, and put it back."""
    for place in places:
        with path.open("r+b") as file:
            file.seek(place)
            before = file.read(1)[0]
            file.seek(place)
            file.write(bytes([before ^ int(draw.integers(1, 256))]))
        yield place
        with path.open("r+b") as file:
            file.seek(place)
            file.write(bytes([before]))


def test_any_byte_of_a_value_that_changes_is_found(filled: Cache, image: ImageItem) -> None:
    """The file is sound for SQLite, so that the checksum alone finds it."""
    assert read_all(image)[1] == 5
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as connection:
        entries = list(connection.execute("SELECT key, value FROM entries WHERE LENGTH(value) > 0"))
        assert len(entries) == 6
        for key, value in entries:
            for place in range(len(value)):
                bad = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
                connection.execute("UPDATE entries SET value = ? WHERE key = ?", [bad, key])
                assert filled.get_bytes([key]) == {}
            for cut in (b"", value[:-1], value[: len(value) // 2], value + b"\0", value.hex(), None, 7):
                connection.execute("UPDATE entries SET value = ? WHERE key = ?", [cut, key])
                assert filled.get_bytes([key]) == {}
            connection.execute("UPDATE entries SET value = ? WHERE key = ?", [value, key])
    assert filled.damaged == {key for key, _ in entries}
    assert read_all(image)[1] == 5


def test_damage_is_said_once_and_what_is_put_again_is_whole(filled: Cache, image: ImageItem) -> None:
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as connection:
        connection.execute("UPDATE entries SET value = X'00' WHERE LENGTH(value) > 0")
    memory, count = read_all(image)
    assert count == 0
    assert [warned.message for warned in memory.warnings()] == [
        f"the cache {filled.path} has entries that are not as they were written, as a failing disk leaves them;"
        " they are made anew"
    ]
    memory.get(["class"])
    assert list(memory.warnings()) == []
    memory.put({"class": EMBEDDING}, kind="class embeddings")
    assert memory.get(["class"])["class"].tolist() == EMBEDDING.tolist()


def test_any_byte_of_the_file_that_changes_does_no_harm(filled: Cache, image: ImageItem, rounds: int) -> None:
    """Bytes of SQLite's own too. What is found is as it was put, and a cache that cannot be used is said once.

    Bytes that hold something are changed, all of them in long rounds, and some that hold nothing.
    """
    data = filled.path.read_bytes()
    held = [place for place, byte in enumerate(data) if byte]
    step = max(1, 16 // rounds)
    copy = filled.path.with_suffix(".copy")
    shutil.copy(filled.path, copy)
    left = 0
    for _ in flips(copy, [*held[::step], *range(0, len(data), 499)], draw=np.random.default_rng(0)):  # type: ignore[arg-type]
        shutil.copy(copy, filled.path)
        memory, count = read_all(image)
        memory.put({"new": EMBEDDING}, kind="class embeddings")
        again = memory.get(["new"])
        assert not again or again["new"].tolist() == EMBEDDING.tolist()
        said = len(list(memory.warnings()))
        assert said <= 1
        left += count < 5
        for suffix in ("-wal", "-shm", "-journal"):
            Path(f"{filled.path}{suffix}").unlink(missing_ok=True)
    assert left > 25


@pytest.mark.parametrize("length", [0, 1, 100, 16384, 20000])
def test_a_file_that_was_cut_is_an_empty_cache_or_said(filled: Cache, image: ImageItem, length: int) -> None:
    filled.path.write_bytes(filled.path.read_bytes()[:length])
    memory, count = read_all(image)
    assert count == 0
    memory.put({"new": EMBEDDING}, kind="class embeddings")
    assert bool(memory.get(["new"])) != bool(list(memory.warnings()))


def test_a_cache_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, kind TEXT, value BLOB, used INTEGER)")
        connection.execute("INSERT INTO entries VALUES ('old', 'k', ?, 0)", [EMBEDDING.tobytes()])
    cache = Cache(path)
    assert cache.get(["old"])["old"].tolist() == EMBEDDING.tolist()
    cache.put({"new": EMBEDDING}, kind="k")
    assert cache.get(["old", "new"]).keys() == {"old", "new"}
    # An earlier version reads a cache of this one; it cannot write to it, which it says.
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert len(list(connection.execute("SELECT key, value, used FROM entries"))) == 2
        with pytest.raises(sqlite3.OperationalError, match="5 columns"):
            connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", ["k", "k", b"", 0])


def test_a_cache_of_a_newer_version_is_left_as_it_is(filled: Cache, image: ImageItem) -> None:
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version=2")
    before = filled.path.read_bytes()
    memory, count = read_all(image)
    memory.put({"new": EMBEDDING}, kind="class embeddings")
    assert count == 0
    [warned] = memory.warnings()
    assert "it is of a newer version of clipcli" in warned.message
    with closing(sqlite3.connect(filled.path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    assert len(filled.path.read_bytes()) == len(before)


def test_a_clock_that_is_put_back_keeps_what_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept by a clock that ran ahead is not kept for ever."""
    monkeypatch.setattr("clipcli.memory.cache.time.time", lambda: 2e9)
    cache = Cache(tmp_path / "cache.sqlite", limit=400_000)
    vector = np.zeros(1000, np.float32)
    cache.put({f"ahead {n}": vector for n in range(50)}, kind="k")
    monkeypatch.setattr("clipcli.memory.cache.time.time", lambda: 1e9)
    assert "ahead 0" in cache.get(["ahead 0"])
    with closing(sqlite3.connect(cache.path)) as connection:
        assert list(connection.execute("SELECT used FROM entries WHERE key = 'ahead 0'")) == [(10**9,)]


def test_any_byte_of_a_folder_index_that_changes_is_found() -> None:
    write_index("k", INDEX)
    path = indexes_path() / "k.index"
    size = path.stat().st_size
    for _ in flips(path, range(size), draw=np.random.default_rng(0)):
        with pytest.raises(CacheUnusable, match="not as it was written"):
            read_index("k")
    whole = path.read_bytes()
    for length in (0, 3, 8, size // 2, size - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CacheUnusable, match="not as it was written"):
            read_index("k")
    path.write_bytes(whole)
    found = read_index("k")
    assert found is not None
    assert found.embeddings.tolist() == INDEX.embeddings.tolist()


def test_bytes_far_into_a_large_index_are_checked_too() -> None:
    large = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)
    names = tuple(f"{n}.jpg" for n in range(len(large)))
    index = FolderIndex(large, names, (), np.arange(len(large)), ("",), np.arange(1), (), True)
    write_index("k", index)
    path = indexes_path() / "k.index"
    for _ in flips(path, range(0, path.stat().st_size, 20_011), draw=np.random.default_rng(0)):
        with pytest.raises(CacheUnusable):
            read_index("k")
    # Blocks in another order have the same sums.
    data = path.read_bytes()
    path.write_bytes(data[:65536] + data[131072:196608] + data[65536:131072] + data[196608:])
    with pytest.raises(CacheUnusable):
        read_index("k")


def test_any_byte_of_a_prepared_tower_that_changes_is_found() -> None:
    about = {"dimensions": 16, "preprocessing": {"mean": [0.5, 0.5, 0.5]}}
    verdict = store.keep("k", lambda: (EMBEDDING.tobytes(), Verdict(1.0, None, about)))
    assert store.verdict_on("k") == verdict
    folder = store.engines_path() / "k"
    for file in sorted(folder.iterdir()):
        for _ in flips(file, range(file.stat().st_size), draw=np.random.default_rng(0)):
            found = store.verdict_on("k")
            assert found is not None
            with pytest.raises(EngineRefused, match="not as it was written"):
                store.check(store.mapped("k"), found)
        whole = file.read_bytes()
        for length in (0, 1, len(whole) - 1):
            file.write_bytes(whole[:length])
            cut = store.verdict_on("k")
            assert cut is not None
            with pytest.raises(EngineRefused, match="not as it was written"):
                store.check(store.mapped("k"), cut)
        file.write_bytes(whole)
    assert store.mapped("k").tobytes() == EMBEDDING.tobytes()
