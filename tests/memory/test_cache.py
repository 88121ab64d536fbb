"""The cache gives back what was put, survives damage, and may be shared by several runs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from clipcli.errors import CacheUnusable, UsageError, install
from clipcli.memory.cache import Cache, Usage, cache_path, read_size
from clipcli.memory.memory import open_memory

ONE = np.ones(4, np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "deep" / "cache.sqlite")


def test_what_was_put_is_what_is_got(cache: Cache) -> None:
    arrays = {f"key {n}": np.random.default_rng(n).normal(size=n + 1).astype(np.float32) for n in range(5)}
    cache.put(arrays, kind="k")
    found = Cache(cache.path).get([*arrays, "other"])
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array)
        assert found[key].dtype == np.float32


def test_only_the_keys_that_are_asked_for_come(cache: Cache) -> None:
    cache.put({"a": ONE, "b": ONE * 2}, kind="k")
    assert list(cache.get(["b"])) == ["b"]
    assert cache.get([]) == {}


def test_an_entry_that_is_put_again_is_replaced(cache: Cache) -> None:
    cache.put({"a": ONE}, kind="k")
    cache.put({"a": ONE * 2}, kind="k")
    np.testing.assert_array_equal(cache.get(["a"])["a"], ONE * 2)
    assert cache.usage() == [Usage("k", 1, 16)]


def test_more_keys_than_fit_one_query_are_all_found(cache: Cache) -> None:
    keys = [f"key {n}" for n in range(1203)]
    cache.put({key: np.full(1, n, np.float32) for n, key in enumerate(keys)}, kind="k")
    found = cache.get(keys[::-1])
    assert [float(found[key][0]) for key in keys] == list(range(1203))


def test_arrays_of_any_layout_are_kept_as_float32(cache: Cache) -> None:
    cache.put({"a": np.arange(6, dtype=np.float64)[::2], "b": np.arange(2, dtype=">f4")}, kind="k")
    found = cache.get(["a", "b"])
    assert (found["a"].tolist(), found["b"].tolist()) == ([0, 2, 4], [0, 1])


def test_usage_is_told_by_kind(cache: Cache) -> None:
    cache.put({"a": ONE, "b": ONE}, kind="texts")
    cache.put({"c": np.ones(10, np.float32)}, kind="images")
    assert cache.usage() == [Usage("images", 1, 40), Usage("texts", 2, 32)]


def test_clear_removes_the_entries_and_counts_them(cache: Cache) -> None:
    cache.put({"a": ONE, "b": ONE}, kind="k")
    assert cache.clear() == 2
    assert (cache.get(["a"]), cache.usage(), cache.clear()) == ({}, [], 0)


def test_a_missing_file_is_an_empty_cache_and_is_not_made_by_looking(cache: Cache) -> None:
    assert (cache.get(["a"]), cache.usage(), cache.clear()) == ({}, [], 0)
    assert not cache.path.parent.exists()


def test_a_broken_file_says_what_to_do_and_clear_repairs_it(cache: Cache) -> None:
    cache.path.parent.mkdir()
    cache.path.write_bytes(b"this is no database " * 100)
    for use in (lambda: cache.get(["a"]), lambda: cache.put({"a": ONE}, kind="k"), cache.usage):
        with pytest.raises(CacheUnusable, match="try clipcli cache clear"):
            use()
    assert cache.clear() == 0
    cache.put({"a": ONE}, kind="k")
    assert list(cache.get(["a"])) == ["a"]


def test_a_database_of_something_else_is_unusable(cache: Cache) -> None:
    cache.path.parent.mkdir()
    connection = sqlite3.connect(cache.path)
    connection.execute("CREATE TABLE entries (something TEXT)")
    connection.close()
    with pytest.raises(CacheUnusable):
        cache.get(["a"])


def test_a_folder_that_cannot_be_written_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache.sqlite")
    with pytest.raises(CacheUnusable, match="cannot use the cache"):
        cache.put({"a": ONE}, kind="k")


def test_entries_are_put_all_or_none(cache: Cache) -> None:
    cache.put({"a": ONE}, kind="k")
    with pytest.raises(CacheUnusable):
        cache.put({"b": ONE, "no text \udcff": ONE}, kind="k")
    assert cache.get(["a", "b"]).keys() == {"a"}


def test_several_processes_may_write_at_once(cache: Cache) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np; from clipcli.memory.cache import Cache\n"
        "for n in range(20): Cache(Path(sys.argv[1])).put({f'{sys.argv[2]} {n}': np.ones(4, 'f4')}, kind='k')"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(cache.path), name]) for name in ("a", "b")]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert cache.usage() == [Usage("k", 40, 640)]


def test_a_first_write_waits_for_another(cache: Cache) -> None:
    cache.path.parent.mkdir()
    other = sqlite3.connect(cache.path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE other (x)")
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: (other.execute("COMMIT"), other.close()))
    release.start()
    try:
        cache.put({"a": ONE}, kind="k")
    finally:
        release.join()
    assert list(cache.get(["a"])) == ["a"]


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 10_000))
    monkeypatch.setattr("clipcli.memory.cache.time.time", lambda: float(next(clock)))
    cache = Cache(tmp_path / "cache.sqlite", limit=400_000)
    vector = np.zeros(1000, np.float32)
    cache.put({"first": vector}, kind="k")
    for n in range(300):
        cache.put({f"key {n}": vector}, kind="k")
        if n % 20 == 0:
            assert "first" in cache.get(["first"])
    left = cache.get(["first", *(f"key {n}" for n in range(300))])
    numbers = sorted(int(key.split()[1]) for key in left if key != "first")
    assert "first" in left
    assert numbers == list(range(300 - len(numbers), 300))
    assert 50 < len(numbers) < 100
    assert cache.path.stat().st_size < 600_000


def test_reading_again_soon_writes_nothing(cache: Cache) -> None:
    cache.put({"a": ONE}, kind="k")
    connection = sqlite3.connect(cache.path)
    [(before,)] = connection.execute("PRAGMA data_version")
    assert "a" in cache.get(["a"])
    [(after,)] = connection.execute("PRAGMA data_version")
    assert before == after


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("500MB", 500_000_000), ("2 GB", 2_000_000_000), ("1.5k", 1500), ("3tb", 3 * 10**12), ("7B", 7)],
)
def test_sizes_are_read(text: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_size(text) == expected
    monkeypatch.setenv("CLIPCLI_CACHE_SIZE", text)
    assert Cache().limit == expected


@pytest.mark.parametrize("text", ["", "much", "-1", "5 PB", "1..5GB", "5", "0.5"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as in"):
        read_size(text)


@pytest.mark.parametrize(
    ("clipcli", "xdg", "expected"),
    [("/c", "/x", "/c/embeddings.sqlite"), ("", "/x", "/x/clipcli/embeddings.sqlite")],
)
def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, clipcli: str, xdg: str, expected: str
) -> None:
    monkeypatch.setenv("CLIPCLI_CACHE", clipcli)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert cache_path() == Path(expected)


def test_without_a_word_from_the_environment_the_cache_lies_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPCLI_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    assert Cache().path == Path("/home/me/.cache/clipcli/embeddings.sqlite")


def test_a_limit_far_below_what_is_there_is_asked_about(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next write would drop nearly everything, for `--cache-size 5MB` where 5GB was meant."""
    monkeypatch.setattr("clipcli.memory.cache.cache_path", lambda: cache.path)
    cache.put_bytes({str(n): bytes(10**5) for n in range(30)}, kind="k")
    with pytest.raises(UsageError, match=r"the cache holds 3 MB, and a limit of 0.5 MB would drop much of it; give a"):
        open_memory(cache=True, cache_size="500KB")
    assert len(cache.get_bytes([str(n) for n in range(30)])) == 30
    for size in ("3MB", "10MB", None):
        assert open_memory(cache=True, cache_size=size)
    assert not open_memory(cache=False, cache_size="500KB")


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/home/u/venv", "pip install a b"),
        ("/home/u/.local/pipx/venvs/clipcli", "pipx inject clipcli a b"),
        ("/home/u/.local/share/uv/tools/clipcli", "uv tool install --with a --with b clipcli"),
    ],
)
def test_what_to_install_is_said_for_the_tool_that_installed_clipcli(
    prefix: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", prefix)
    assert install("a", "b") == command
