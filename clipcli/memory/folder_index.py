"""The embeddings of all images of a folder in one file, for searches: mapped into memory, not read entry by entry.

An index lies beside the cache of embeddings and is about one folder, one model and one way of reading images. It is
current while every folder below has the entries it had, told by the time of its last change, and every file is as it
was, told as `files.identity` does. A folder that was changed within two seconds of being listed is not trusted: its
time may be too coarse to tell of a later change. The file is in the format of safetensors, with a checksum behind it,
and written atomically.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import CacheUnusable, one_line
from clipcli.files.atomic import replacing
from clipcli.files.identity import state_of
from clipcli.memory.cache import cache_path
from clipcli.parsed import json_of
from clipcli.version import __version__

# All indexes together may be as large as this; those that were used least recently go first.
MOST_BYTES = 8 << 30
_SUFFIX = ".index"
_UNSETTLED_NS = 2 * 10**9
_ABSENT = 0
# The checksum is over the sums of so many bytes each: as fast as memory, and any byte that changes changes it.
_BLOCK, _CHECKSUM_SIZE = 1 << 16, 4


@dataclass(frozen=True, slots=True)
class FolderIndex:
    """The embeddings `[N, D]` of the images of a folder, by their `names` below it, as they were at some time.

    `names` holds N images and then those that cannot be read, of which `reasons` says why. `states` has a number for
    each name, `folder_states` one for each of `folders`. `said` are the notices of listing, each with whether it warns.
    `settled` is false if a folder had just been changed when it was listed.
    """

    embeddings: NDArray[np.float32]
    names: tuple[str, ...]
    reasons: tuple[str, ...]
    states: NDArray[np.int64]
    folders: tuple[str, ...]
    folder_states: NDArray[np.int64]
    said: tuple[tuple[bool, str], ...]
    settled: bool

    def is_current(self, root: str) -> bool:
        """True if the folder `root` holds what it held, each file as it was."""
        if not self.settled or not np.array_equal(folder_states(root, self.folders), self.folder_states):
            return False
        return np.array_equal(file_states(root, self.names), self.states)


def index_key(root: str, *, exclude: Sequence[str], made_by: str) -> str:
    """The name of the index of a folder. A hash of a state may differ in another version of Python."""
    content = ["index/2", __version__, sys.implementation.cache_tag, os.path.abspath(root), *exclude, made_by]
    return hashlib.sha256(json.dumps(content).encode("utf-8", "surrogateescape")).hexdigest()[:40]


def folder_states(root: str, folders: Sequence[str]) -> NDArray[np.int64]:
    """A number for each folder below `root` that changes if an entry is added, removed or renamed in it."""
    return np.array([_folder_state(os.path.join(root, folder)) for folder in folders], np.int64)


def file_states(root: str, names: Sequence[str]) -> NDArray[np.int64]:
    """A number for each file below `root` that changes when the file does: a hash of its `state_of`."""
    start = os.path.join(root, "")
    try:
        return np.array([hash(state_of(start + name)) for name in names], np.int64)
    except OSError:
        return np.array([_file_state(start + name) for name in names], np.int64)


def are_settled(root: str, folders: Sequence[str], *, listed_at: int) -> bool:
    """True if no folder was changed near or after the time `listed_at`, in nanoseconds."""
    try:
        return all(os.stat(os.path.join(root, name)).st_mtime_ns < listed_at - _UNSETTLED_NS for name in folders)
    except OSError:
        return False


def read_index(key: str) -> FolderIndex | None:
    """The index, with its embeddings mapped into memory; `None` if there is none.

    Raises `CacheUnusable` if it is not as it was written.
    """
    path = indexes_path() / f"{key}{_SUFFIX}"
    try:
        written = np.memmap(path, np.uint8, "r")
        content, checksum = written[:-_CHECKSUM_SIZE], written[-_CHECKSUM_SIZE:]
        if _checksum(content) != checksum.tobytes():
            raise ValueError("its checksum is of another content")
        begin = 8 + int.from_bytes(content[:8].tobytes(), "little")
        header = json_of(content[8:begin].tobytes())
        about = json_of(header.pop("__metadata__")["index"])
        parts = {name: _part(content[begin:], **place) for name, place in header.items()}
        with suppress(OSError):
            os.utime(path)
        return FolderIndex(
            embeddings=parts["embeddings"],
            names=_split(parts["names"]),
            reasons=tuple(about["reasons"]),
            states=parts["states"],
            folders=_split(parts["folders"]),
            folder_states=parts["folder_states"],
            said=tuple((warns, message) for warns, message in about["said"]),
            settled=about["settled"],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise CacheUnusable(f"the index {path} is not as it was written ({one_line(e)})") from None


def write_index(key: str, index: FolderIndex) -> None:
    """Keep the index, and remove others if there are too many bytes of them. Raises `OSError`."""
    from safetensors.numpy import save_file

    path = indexes_path() / f"{key}{_SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"reasons": index.reasons, "said": index.said, "settled": index.settled}
    tensors: dict[str, NDArray[Any]] = {
        "embeddings": np.ascontiguousarray(index.embeddings, np.float32),
        "names": _joined(index.names),
        "states": index.states,
        "folders": _joined(index.folders),
        "folder_states": index.folder_states,
    }
    _remove_oldest(room=sum(tensor.nbytes for tensor in tensors.values()), but=path)
    with replacing(path) as part:
        save_file(tensors, part, metadata={"index": json.dumps(about)})
        checksum = _checksum(np.memmap(part, np.uint8, "r"))
        with part.open("ab") as file:
            file.write(checksum)


def usage() -> tuple[int, int]:
    """The number of indexes, and their size in bytes."""
    sizes = [path.stat().st_size for path in _files()]
    return len(sizes), sum(sizes)


def clear() -> int:
    """Remove all indexes, and return how many there were."""
    files = _files()
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def indexes_path() -> Path:
    """The folder of all indexes, beside the cache of embeddings."""
    return cache_path().parent / "indexes"


def _files() -> list[Path]:
    return sorted(indexes_path().glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)


def _remove_oldest(*, room: int, but: Path) -> None:
    """Remove the indexes that were used least recently, until there is `room` for one more in the place of `but`."""
    others = [path for path in _files() if path != but]
    left = sum(path.stat().st_size for path in others)
    for path in others:
        if left + room <= MOST_BYTES:
            return
        left -= path.stat().st_size
        path.unlink(missing_ok=True)


def _folder_state(path: str) -> int:
    try:
        stat = os.stat(path)
    except OSError:
        return _ABSENT
    return hash((stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev))


def _file_state(path: str) -> int:
    try:
        return hash(state_of(path))
    except (OSError, ValueError):
        return _ABSENT


def _checksum(content: NDArray[np.uint8]) -> bytes:
    """The CRC-32 of the sums of the content's blocks, each as numbers of 64 bits, and of the bytes behind them."""
    whole = len(content) // _BLOCK * _BLOCK
    sums = np.asarray(content[:whole]).view("<u8").reshape(-1, _BLOCK // 8).sum(axis=1, dtype="<u8")
    return zlib.crc32(content[whole:].tobytes(), zlib.crc32(sums.tobytes())).to_bytes(_CHECKSUM_SIZE, "little")


def _part(content: NDArray[np.uint8], *, dtype: str, shape: list[int], data_offsets: list[int]) -> NDArray[Any]:
    """One tensor of the file, as it lies there."""
    types = {"F32": "<f4", "I64": "<i8", "U8": "u1"}
    first, end = data_offsets
    return np.asarray(content[first:end]).view(types[dtype]).reshape(shape)


def _joined(texts: Sequence[str]) -> NDArray[np.uint8]:
    """The texts as bytes, each ended by a byte of 0, which is in no path."""
    return np.frombuffer("".join(f"{text}\0" for text in texts).encode("utf-8", "surrogateescape"), np.uint8)


def _split(content: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(content.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1])
