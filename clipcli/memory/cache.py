"""A bounded key-value cache in one SQLite file; it knows nothing of CLIP.

Values are bytes, most often of a float32 vector. Keys are hashes of everything that a value depends on, so an entry is
never stale. SQLite's write-ahead log makes each write atomic and lets several runs share the file. The entries least
recently used are removed first. Each entry has a checksum: one that is not as it was written is as good as not there.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.errors import CacheUnusable, UsageError, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_SIZE = "5GB"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, kind TEXT, value BLOB, used INTEGER, checksum INTEGER);
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
"""
# The version of the schema. Before 1 there were no checksums: entries of then have none.
_VERSION = 1
_BUSY_SECONDS = 60
_PAGE_SIZE = 16384
_KEYS_PER_QUERY = 500
# The time of last use is updated at most once in so many seconds, so that most reads write nothing.
_USE_GRAIN = 3600
# Removing entries goes on until the cache is down to this share of its limit.
_LEFT = 0.9
# A limit may be lowered by so much without a question, and a cache as small as this is soon filled again.
_SLACK, _SMALL = 1.5, 10**6
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class Usage:
    """The number of entries of a kind, and their size in bytes."""

    kind: str
    entries: int
    size: int


def cache_path() -> Path:
    """The cache's file: in `$CLIPCLI_CACHE`, else in `clipcli` under `$XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get("CLIPCLI_CACHE")
    if not folder:
        folder = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "clipcli")
    return Path(folder) / "embeddings.sqlite"


def read_size(text: str, *, what: str = "cache size") -> int:
    """Read a size such as `500MB` or `2 GB` as bytes; units are powers of 1000.

    `what` it is of is for messages. Raises `UsageError`, also for a number without a unit, but for 0: 5 may be meant as
    bytes or as gigabytes.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?B?)", text.strip().upper())
    unit = match and (match[2] if match[2] in _UNITS else f"{match[2]}B")
    if match and not match[2] and float(match[1]):
        raise UsageError(f"a {what} of {text!r} has no unit; write it as in {match[1]}MB or {match[1]}GB")
    if not match or unit is None:
        raise UsageError(f"a {what} of {text!r} is not understood; write it as in 500MB or 2GB")
    return int(float(match[1]) * _UNITS[unit])


class Cache:
    """The cache in one file, created at the first write, of about `limit` bytes at most.

    The default limit is `$CLIPCLI_CACHE_SIZE`, else 5 GB. Raises `UsageError` for a size that cannot be read. Every
    method may raise `CacheUnusable`.
    """

    def __init__(self, path: Path | None = None, *, limit: int | None = None) -> None:
        self.path = path or cache_path()
        self.limit = read_size(os.environ.get("CLIPCLI_CACHE_SIZE") or DEFAULT_SIZE) if limit is None else limit
        # Keys of entries that were found damaged.
        self.damaged: set[str] = set()

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The float32 vectors of those keys that are in the cache."""
        import numpy as np

        return {key: np.frombuffer(value, dtype="<f4") for key, value in self.get_bytes(keys).items()}

    def get_bytes(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that are in the cache. They count as used now.

        An entry that is not as it was written is left out, and its key is among those `damaged`.
        """
        found: dict[str, bytes] = {}
        if not self.path.exists():
            return found
        now = int(time.time())
        with self._connection() as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value, used, checksum FROM entries WHERE key IN ({marks})"
                rows = list(connection.execute(query, part))
                whole = [row for row in rows if _is_whole(*row)]
                self.damaged |= set(part) & ({row[0] for row in rows} - {row[0] for row in whole})
                found.update((key, value) for key, value, _, _ in whole)
                # A clock that was put back leaves times in the future.
                stale = [(now, key) for key, _, used, _ in whole if abs(now - used) > _USE_GRAIN]
                if stale:
                    connection.executemany("UPDATE entries SET used = ? WHERE key = ?", stale)
        return found

    def put(self, arrays: Mapping[str, NDArray[np.float32]], *, kind: str) -> None:
        """Keep these float32 vectors, all of them or none. Others may be removed, as by `put_bytes`."""
        import numpy as np

        self.put_bytes(
            {key: np.ascontiguousarray(array, dtype="<f4").tobytes() for key, array in arrays.items()}, kind=kind
        )

    def put_bytes(self, values: Mapping[str, bytes], *, kind: str) -> None:
        """Keep these values, all of them or none. Beyond the limit the least recently used are removed."""
        now = int(time.time())
        entries = [(key, kind, value, now, _checksum(key, value)) for key, value in values.items()]
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", entries)
            self._shrink(connection)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        size = _used_bytes(connection)
        if size <= self.limit:
            return
        [(count,)] = connection.execute("SELECT COUNT(*) FROM entries")
        least = int(self.limit * _LEFT)
        while count and size > least:
            share = max(1, min(count, round(count * (1 - least / size))))
            connection.execute(
                "DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY used LIMIT ?)", [share]
            )
            count, size = count - share, _used_bytes(connection)

    def check_limit(self) -> None:
        """Raise `UsageError` if the limit is so far below what is there that the next write drops much."""
        if not self.path.exists():
            return
        with self._connection() as connection:
            size = _used_bytes(connection)
        if size > max(_SLACK * self.limit, _SMALL):
            raise UsageError(
                f"the cache holds {size / 1e6:,.0f} MB, and a limit of {self.limit / 1e6:,.3g} MB would drop much of"
                " it; give a larger --cache-size, or run clipcli cache clear first"
            )

    def usage(self) -> list[Usage]:
        """The entries of each kind, sorted by kind."""
        if not self.path.exists():
            return []
        query = "SELECT kind, COUNT(*), SUM(LENGTH(value)) FROM entries GROUP BY kind ORDER BY kind"
        with self._connection() as connection:
            return [Usage(*row) for row in connection.execute(query)]

    def clear(self) -> int:
        """Remove all entries, or the whole file if it cannot be read, and return the number of entries removed."""
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
        # SQLite says of some damage that memory is short, and its messages repeat bytes that are no text.
        except (sqlite3.Error, OSError, MemoryError, UnicodeError) as e:
            raise CacheUnusable(f"cannot use the cache {self.path}: {one_line(e)}; try clipcli cache clear") from None


def _prepare(connection: sqlite3.Connection) -> None:
    """Set up the connection, and the file if it is new."""
    # A page of the default size would hold just one embedding of 2 kB.
    connection.execute(f"PRAGMA page_size={_PAGE_SIZE}")
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as e:
            # SQLite does not wait by itself while another run creates the same file.
            if "locked" not in str(e) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    [(version,)] = connection.execute("PRAGMA user_version")
    if version > _VERSION:
        raise sqlite3.DatabaseError("it is of a newer version of clipcli")
    if version < _VERSION:
        _bring_up_to_date(connection)
    # The log is synced at checkpoints only: a power cut may lose the last entries, but harms no others.
    connection.execute("PRAGMA synchronous=NORMAL")


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the table, or add to one of an earlier version what it lacks."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        # Another run may have done it meanwhile.
        if not any(column[1] == "checksum" for column in connection.execute("PRAGMA table_info(entries)")):
            connection.execute("ALTER TABLE entries ADD COLUMN checksum INTEGER")
        connection.execute(f"PRAGMA user_version={_VERSION}")


def _checksum(key: str, value: bytes) -> int:
    """The CRC-32 of an entry with its key: a damaged file may also give the entry of another key."""
    return zlib.crc32(value, zlib.crc32(key.encode("utf-8", "surrogatepass")))


def _is_whole(key: object, value: object, used: object, checksum: object) -> bool:
    """True for an entry as it was written; of one without a checksum that is not known."""
    if not (isinstance(key, str) and isinstance(value, bytes) and isinstance(used, int)):
        return False
    return checksum is None or checksum == _checksum(key, value)


def _used_bytes(connection: sqlite3.Connection) -> int:
    """The bytes of the file in use, without its free pages."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
