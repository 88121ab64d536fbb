"""Image embeddings of earlier runs, found by the path, size and time of each image's file.

With `verify` the content must be the same as well. An entry belongs to one model, preprocessing and precision. A file
that was changed since counts as another image.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from clipcli.data.reference import DIGEST_SIZE, digest_of, read
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts
from clipcli.records import Entry, ImageItem, Remembered, Skipped

KIND = "image embeddings"
_AT_ONCE = 1024


class ImageStore:
    """The image embeddings of one model, described by `facts`.

    `made_with` are the settings that embeddings depend on beside the model. With `verify`, images are read and compared
    with a hash of their content. A cache that fails finds nothing and keeps nothing; no method raises.
    """

    def __init__(self, memory: Memory, facts: ModelFacts, *, made_with: Sequence[str], verify: bool) -> None:
        self._memory, self._verify = memory, verify
        self._made_by = json.dumps(["image/1", facts.fingerprint, facts.preprocessing, facts.precision, *made_with])
        # The keys of images that were looked up and not found: an image may change before its embedding is there.
        self._keys: dict[str, str] = {}

    def look_up(self, items: Iterable[ImageItem]) -> Iterator[ImageItem | Remembered]:
        """Yield each image with its embedding, or the image alone if it must be encoded.

        An image yielded alone must be hashed when it is read, for `keep`.
        """
        items = iter(items)
        while part := list(islice(items, _AT_ONCE)):
            keys = [self._key(item) for item in part]
            found = self._memory.get_bytes([key for key in keys if key is not None])
            for item, key in zip(part, keys, strict=True):
                kept = None if key is None else found.get(key)
                if key is None:
                    yield item
                elif kept is None or (self._verify and not _is_content(item, kept[:DIGEST_SIZE])):
                    self._keys[item.id] = key
                    yield item
                else:
                    yield Remembered(item, (np.frombuffer(kept[DIGEST_SIZE:], dtype="<f4"),))

    def keep(self, entries: Sequence[Entry], embeddings: NDArray[np.float32]) -> None:
        """Keep the embeddings `[N, D]` of images that were read and hashed since `look_up`; bad ones have no row."""
        rows = iter(embeddings)
        values = {}
        for entry in entries:
            if isinstance(entry, Skipped):
                self._keys.pop(entry.item.id, None)
                continue
            embedding, key = next(rows), self._keys.pop(entry.id, None)
            if key is not None and entry.digest is not None:
                values[key] = entry.digest + np.ascontiguousarray(embedding, dtype="<f4").tobytes()
        if values:
            self._memory.put_bytes(values, kind=KIND)

    def _key(self, item: ImageItem) -> str | None:
        """The cache key: a hash of all that the embedding depends on; `None` for an image without a readable file."""
        if item.file is None:
            return None
        try:
            stat = os.stat(item.file)
        except (OSError, ValueError):
            return None
        # An image of a zip may be called otherwise than the zip, as a table that names it is free to do.
        inside = item.id.removeprefix(item.file) if item.id.startswith(item.file) else f"\0{item.id}"
        path = os.path.abspath(item.file) + inside
        content = f"{self._made_by}\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}"
        return hashlib.blake2b(content.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()


def _is_content(item: ImageItem, digest: bytes) -> bool:
    try:
        return digest_of(read(item.reference)) == digest
    # The reason is reported when the image is read again to be encoded.
    except Exception:
        return False
