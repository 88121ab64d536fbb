"""Image embeddings of earlier runs, found by the path of each image.

An entry is used while the image's file is as it was: its size, its times and its place on the disk. If only the size
and the time of its content are the same, or with `verify`, the content itself is compared, so that a file that was put
in another's place is another image, and one that was copied back is not encoded again. An entry belongs to one model,
preprocessing and precision.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from clipcli.data.reference import DIGEST_SIZE, digest_of, read
from clipcli.files.identity import state_of
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts
from clipcli.records import Entry, ImageItem, Remembered, Skipped

KIND = "image embeddings"
_AT_ONCE = 1024
_STATE, _MOST = Struct("<QQQ"), (1 << 64) - 1
# An entry is the hash of the content, the state of the file, and the embedding.
_HEAD = DIGEST_SIZE + _STATE.size


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image's entry is kept, and the state of the image's file beside its size and time."""

    key: str
    state: bytes


class ImageStore:
    """The image embeddings of one model, described by `facts`.

    `made_with` are the settings that embeddings depend on beside the model. With `verify`, images are read and compared
    with a hash of their content. A cache that fails finds nothing and keeps nothing; no method raises.
    """

    def __init__(self, memory: Memory, facts: ModelFacts, *, made_with: Sequence[str], verify: bool) -> None:
        self._memory, self._verify = memory, verify
        # All that embeddings depend on beside the images.
        self.made_by = json.dumps(["image/2", facts.fingerprint, facts.preprocessing, facts.precision, *made_with])
        # The keys of images that were looked up and not found: an image may change before its embedding is there.
        self._places: dict[str, _Place] = {}

    def look_up(self, items: Iterable[ImageItem]) -> Iterator[ImageItem | Remembered]:
        """Yield each image with its embedding, or the image alone if it must be encoded.

        An image yielded alone must be hashed when it is read, for `keep`.
        """
        items = iter(items)
        while part := list(islice(items, _AT_ONCE)):
            places = [self._place(item) for item in part]
            found = self._memory.get_bytes([place.key for place in places if place is not None])
            touched: dict[str, bytes] = {}
            for item, place in zip(part, places, strict=True):
                kept = None if place is None else found.get(place.key)
                if place is None or kept is None or not self._is_same(item, place, kept):
                    if place is not None:
                        self._places[item.id] = place
                    yield item
                    continue
                if kept[DIGEST_SIZE:_HEAD] != place.state:
                    touched[place.key] = kept[:DIGEST_SIZE] + place.state + kept[_HEAD:]
                yield Remembered(item, (np.frombuffer(kept[_HEAD:], dtype="<f4"),))
            if touched:
                self._memory.put_bytes(touched, kind=KIND)

    def keep(self, entries: Sequence[Entry], embeddings: NDArray[np.float32]) -> None:
        """Keep the embeddings `[N, D]` of images that were read and hashed since `look_up`; bad ones have no row."""
        rows = iter(embeddings)
        values = {}
        for entry in entries:
            if isinstance(entry, Skipped):
                self._places.pop(entry.item.id, None)
                continue
            embedding, place = next(rows), self._places.pop(entry.id, None)
            if place is not None and entry.digest is not None:
                values[place.key] = entry.digest + place.state + np.ascontiguousarray(embedding, dtype="<f4").tobytes()
        if values:
            self._memory.put_bytes(values, kind=KIND)

    def _is_same(self, item: ImageItem, place: _Place, kept: bytes) -> bool:
        """True if the image is the one that the kept entry is about."""
        as_it_was = kept[DIGEST_SIZE:_HEAD] == place.state and not self._verify
        return as_it_was or _is_content(item, kept[:DIGEST_SIZE])

    def _place(self, item: ImageItem) -> _Place | None:
        """The key of the image's entry and the state of its file; `None` for an image without a readable file."""
        if item.file is None:
            return None
        try:
            size, modified, *state = state_of(item.file)
        except (OSError, ValueError):
            return None
        # An image of a zip may be called otherwise than the zip, as a table that names it is free to do.
        inside = item.id.removeprefix(item.file) if item.id.startswith(item.file) else f"\0{item.id}"
        path = os.path.abspath(item.file) + inside
        content = f"{self.made_by}\0{path}\0{size}\0{modified}"
        key = hashlib.blake2b(content.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()
        return _Place(key, _STATE.pack(*(number & _MOST for number in state)))


def _is_content(item: ImageItem, digest: bytes) -> bool:
    try:
        return digest_of(read(item.reference)) == digest
    # The reason is reported when the image is read again to be encoded.
    except Exception:
        return False
