"""A cache of arrays on disk: key → float32 vector, in one SQLite file. It knows nothing of CLIP.

Keys are hashes of all that went into a value, so an entry is never stale. SQLite's write-ahead log makes each write
atomic and lets several runs share the file.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import CacheUnusable

_SCHEMA = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, kind TEXT, value BLOB)"
_BUSY_SECONDS = 60
_KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Usage:
    """How many entries of a kind there are, and their size in bytes."""

    kind: str
    entries: int
    size: int


def cache_path() -> Path:
    """Where the cache lies: in `$CLIPCLI_CACHE`, else in `clipcli` under `$XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get("CLIPCLI_CACHE")
    if not folder:
        folder = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "clipcli")
    return Path(folder) / "embeddings.sqlite"


class Cache:
    """The cache in one file, made when it is first written. Every method may raise `CacheUnusable`."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_path()

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The arrays there are for these keys."""
        found: dict[str, NDArray[np.float32]] = {}
        if not self.path.exists():
            return found
        with self._connection() as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, value FROM entries WHERE key IN ({marks})", part)
                found.update({key: np.frombuffer(value, dtype="<f4") for key, value in rows})
        return found

    def put(self, arrays: Mapping[str, NDArray[np.float32]], *, kind: str) -> None:
        """Keep these arrays, all or none of them."""
        entries = [(key, kind, np.ascontiguousarray(array, dtype="<f4").tobytes()) for key, array in arrays.items()]
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", entries)

    def usage(self) -> list[Usage]:
        """What the cache holds, by kind."""
        if not self.path.exists():
            return []
        query = "SELECT kind, COUNT(*), SUM(LENGTH(value)) FROM entries GROUP BY kind ORDER BY kind"
        with self._connection() as connection:
            return [Usage(*row) for row in connection.execute(query)]

    def clear(self) -> int:
        """Remove all entries, or the whole file if it cannot be read any more; the number of entries."""
        if not self.path.exists():
            return 0
        with suppress(CacheUnusable):
            with self._connection() as connection:
                count: int = connection.execute("DELETE FROM entries").rowcount
                connection.commit()
                connection.execute("VACUUM")
            return count
        try:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        except OSError as e:
            raise CacheUnusable(f"cannot remove the cache {self.path}: {e.strerror}; check its permissions") from None
        return 0

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
            try:
                _prepare(connection)
                with connection:
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as e:
            raise CacheUnusable(f"cannot use the cache {self.path}: {e}; try clipcli cache clear") from None


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the file what it must be, if it is new."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as e:
            # SQLite does not wait by itself where another run is making the same file.
            if "locked" not in str(e) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute(_SCHEMA)
