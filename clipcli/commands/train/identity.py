"""What must be the same for a run to go on: hashes of its data and its model, wherever they lie.

Of the data these are the captions, the labels, the order, the sizes of the files, and the names below the folder that
all images of a DATA lie in. So a run goes on when its data has moved, and not when it has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.checkpoint import Architecture, Checkpoint, fingerprint_of
from clipcli.commands.train.validation import Checks, Example
from clipcli.data.reference import open_zip
from clipcli.records import Reference, Span

IMAGES = "images"
# What each hash is of, and how a message says that it is another.
_OTHERS = {
    "DATA": "DATA holds other pairs",
    IMAGES: "images of DATA are of another size in bytes",
    "--val": "--val holds other pairs",
    "--zero-shot": "--zero-shot holds other images or classes",
    "--retain": "--retain holds other pairs",
    "--model": "--model is another model",
    "--arch": "--arch is another architecture",
}
_UNKNOWN = -1


def start_identity(start: Architecture) -> dict[str, str]:
    """The hash of the model or the architecture that a run begins from."""
    if isinstance(start, Checkpoint):
        return {"--model": fingerprint_of(start)}
    return {"--arch": _hash(json.dumps(start.model_cfg, sort_keys=True, default=str)).hex()}


def checks_identity(checks: Checks) -> dict[str, str]:
    """A hash for each of the data to measure the model on; that which was not given has none."""
    given = {"--val": checks.val, "--zero-shot": checks.zero_shot, "--retain": checks.retain}
    examples = {name: list(check.examples()) for name, check in given.items() if check is not None}
    roots = {name: common_root(item.id for item, _, _ in some) for name, some in examples.items()}
    return {name: examples_hash(some, root=roots[name]) for name, some in examples.items()}


def examples_hash(examples: Iterable[Example], *, root: str) -> str:
    """A hash of names below `root`, labels and captions, in order."""
    digest = hashlib.blake2b(digest_size=16)
    # The images of a class share one tuple of captions.
    hashes: dict[int, tuple[tuple[str, ...], bytes]] = {}
    for item, captions, label in examples:
        if id(captions) not in hashes:
            hashes[id(captions)] = captions, _hash("\0".join(captions))
        digest.update(_hash(f"{item.id.removeprefix(root)}\0{label}") + hashes[id(captions)][1])
    return digest.hexdigest()


def common_root(ids: Iterable[str]) -> str:
    """The folder that all these paths lie in, with a slash at its end, or nothing where they share none."""
    paths = list(ids)
    # Characters in common, of which whole folders are kept.
    shared = os.path.commonprefix([min(paths), max(paths)]) if paths else ""  # noqa: RUF071
    return shared[: shared.rfind("/") + 1]


def moved(path: str, *, before: Sequence[str], now: Sequence[str]) -> str:
    """The path after the folders `before` have become the folders `now`."""
    for old, new in sorted(zip(before, now, strict=False), reverse=True):
        if path.startswith(old):
            return new + path.removeprefix(old)
    return path


def sizes_hash(sizes: NDArray[np.int64], ids: Iterable[str], *, without: Container[str]) -> str:
    """A hash of the sizes `[N]` of images in bytes. Images `without` do not count: they may be mended."""
    counted = [name not in without for name in ids]
    return hashlib.blake2b(np.where(counted, sizes, _UNKNOWN).tobytes(), digest_size=16).hexdigest()


def size_of(reference: Reference) -> int:
    """The size of an image in bytes, found without reading it; -1 where that is not known, as of a Parquet cell."""
    path, member = reference.path or "", reference.member
    try:
        if reference.kind == "file":
            return os.stat(path).st_size
        if reference.kind == "zip":
            return open_zip(path).getinfo(str(member)).file_size
    except (OSError, KeyError, zipfile.BadZipFile):
        return _UNKNOWN
    if isinstance(member, Span):
        return member.size
    return len(member) if isinstance(member, bytes) else _UNKNOWN


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was, a phrase for each."""
    different = [name for name in _OTHERS if before.get(name) != now.get(name)]
    # Other pairs have other images.
    return [_OTHERS[name] for name in different if name != IMAGES or "DATA" not in different]


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
