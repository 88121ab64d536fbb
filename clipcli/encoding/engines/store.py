"""Keeps converted towers on disk, each in a folder with the verdict on its accuracy."""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import CacheUnusable
from clipcli.files.atomic import part_of
from clipcli.files.identity import state_of
from clipcli.memory.cache import cache_path
from clipcli.parsed import json_of

_VERDICT, _TOWER = "verdict.json", "tower.bin"
_OTHER = "its file is not as it was written"


class EngineRefused(Exception):
    """An engine cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of comparing a converted tower with torch.

    `cosine` is the least cosine between their embeddings, `None` if there are none. `problem` says why the tower must
    not be used, and is `None` for a good one. `about` is what is needed to use the tower, `checksum` the SHA-256 of its
    content, and `state` that of its file when it was written.
    """

    cosine: float | None
    problem: str | None
    about: Mapping[str, Any] = field(default_factory=dict)
    checksum: str | None = None
    state: Sequence[int] = field(default_factory=list)


# A verdict that is not as it was written: reading the tower refuses it, as no content has this checksum.
DAMAGED = Verdict(None, None)


def engines_path() -> Path:
    """The folder of all converted towers, beside the cache of embeddings."""
    return cache_path().parent / "engines"


def verdict_on(key: str) -> Verdict | None:
    """The verdict on a tower; `None` if it was never converted, and `DAMAGED` if it is not as it was written."""
    try:
        checksum, _, text = (engines_path() / key / _VERDICT).read_bytes().partition(b"\n")
    except OSError:
        return None
    return Verdict(**json_of(text.decode())) if checksum == _checksum(text) else DAMAGED


def keep(key: str, make: Callable[[], tuple[bytes, Verdict]]) -> Verdict:
    """Keep a tower under its key, and return the verdict on it; of a bad one only the verdict is kept.

    `make` gives the tower's content and the verdict. The folder is moved into place when it is complete. Raises
    `CacheUnusable`.
    """
    target = engines_path() / key
    part = part_of(target)
    try:
        part.mkdir(parents=True)
        content, verdict = make()
        if verdict.problem is None:
            (part / _TOWER).write_bytes(content)
            checksum, state = hashlib.sha256(content).hexdigest(), list(state_of(part / _TOWER))
            verdict = replace(verdict, checksum=checksum, state=state)
        text = json.dumps(asdict(verdict)).encode()
        (part / _VERDICT).write_bytes(_checksum(text) + b"\n" + text)
        # A folder in its place has no readable verdict, or is the same tower from a run that was quicker.
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except OSError as e:
        raise CacheUnusable(f"cannot keep a converted model in {target.parent}: {e}; check its permissions") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return verdict


def mapped(key: str) -> NDArray[np.uint8]:
    """The content of a tower, of which each part is read when it is needed. Raises `EngineRefused` if there is none."""
    try:
        with (engines_path() / key / _TOWER).open("rb") as file:
            # OpenVINO wants memory that could be written to; what is written to this does not reach the file.
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    except OSError as e:
        raise EngineRefused(f"its file cannot be read: {e.strerror}") from None
    except ValueError:
        raise EngineRefused(_OTHER) from None


def is_untouched(key: str, verdict: Verdict) -> bool:
    """True if the file of a tower has the size, the times and the place that it had when it was written."""
    try:
        return list(state_of(engines_path() / key / _TOWER)) == verdict.state
    except OSError:
        return False


def check(content: NDArray[np.uint8], verdict: Verdict) -> None:
    """Read all of a tower. Raises `EngineRefused` if it is not as it was written."""
    if hashlib.sha256(content.data).hexdigest() != verdict.checksum:
        raise EngineRefused(_OTHER)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def forget(key: str) -> None:
    """Remove a tower, if it is there."""
    shutil.rmtree(engines_path() / key, ignore_errors=True)


def usage() -> tuple[int, int]:
    """The number of converted towers, and their size in bytes."""
    sizes = [path.stat().st_size for path in engines_path().rglob("*") if path.is_file()]
    return len(list(engines_path().glob(f"*/{_VERDICT}"))), sum(sizes)


def clear() -> int:
    """Remove all towers, and return how many there were. Raises `CacheUnusable`."""
    count, _ = usage()
    try:
        if engines_path().exists():
            shutil.rmtree(engines_path())
    except OSError as e:
        raise CacheUnusable(f"cannot remove {engines_path()}: {e.strerror}; check its permissions") from None
    return count
