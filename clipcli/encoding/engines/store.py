"""Converted image towers on disk, each with the verdict on it, in a folder that is whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from clipcli.errors import CacheUnusable
from clipcli.files.atomic import part_of
from clipcli.memory.cache import cache_path

_VERDICT = "verdict.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How near a converted tower's embeddings are to torch's, as the least cosine, or why there are none."""

    cosine: float | None
    problem: str | None


def engines_path() -> Path:
    """Where converted towers lie: beside the cache of embeddings."""
    return cache_path().parent / "engines"


def verdict_on(key: str) -> Verdict | None:
    """The verdict on a tower, or `None` where it was never converted."""
    try:
        return Verdict(**json.loads((engines_path() / key / _VERDICT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep(key: str, write: Callable[[Path], Verdict]) -> Verdict:
    """The verdict that `write` gives when it has written a tower's files into an empty folder, which becomes the key's.

    Raises `CacheUnusable`.
    """
    target = engines_path() / key
    part = part_of(target)
    try:
        part.mkdir(parents=True)
        verdict = write(part)
        (part / _VERDICT).write_text(json.dumps(asdict(verdict)), encoding="utf-8")
        # What lies there by now has no verdict that can be read, or another run was quicker with the same.
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except OSError as e:
        raise CacheUnusable(f"cannot keep a converted model in {target.parent}: {e}; check its permissions") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return verdict


def forget(key: str) -> None:
    """Remove a tower."""
    shutil.rmtree(engines_path() / key, ignore_errors=True)


def usage() -> tuple[int, int]:
    """How many towers there are, and their size in bytes."""
    sizes = [path.stat().st_size for path in engines_path().rglob("*") if path.is_file()]
    return len(list(engines_path().glob(f"*/{_VERDICT}"))), sum(sizes)


def clear() -> int:
    """Remove all towers; how many there were. Raises `CacheUnusable`."""
    count, _ = usage()
    try:
        if engines_path().exists():
            shutil.rmtree(engines_path())
    except OSError as e:
        raise CacheUnusable(f"cannot remove {engines_path()}: {e.strerror}; check its permissions") from None
    return count
