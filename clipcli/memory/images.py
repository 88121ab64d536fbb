"""Image embeddings of earlier runs, found by the path of each image.

An entry is used while the image's file is as it was: its size, its times and its place on the disk. If only the size
and the time of its content are the same, or with `verify`, the content itself is compared, so that a file that was put
in another's place is another image, and one that was copied back is not encoded again. A file that is not found by its
path is known by its content, also by one that has the same pixels. An entry belongs to one model, preprocessing and
precision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from clipcli.data.reference import DIGEST_SIZE, digest_of, read
from clipcli.files.identity import state_of
from clipcli.memory import contents
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts
from clipcli.records import WHOLE, Entry, ImageItem, ModelRecord, Remembered, Skipped

KIND = "image embeddings"
_AT_ONCE = 1024
# Images that are read together to be looked for by content, and only when it is their turn.
_READ_AT_ONCE = 64
_STATE, _MOST = Struct("<QQQ"), (1 << 64) - 1
# An entry is the hash of the content, the state of the file, and the embedding.
_HEAD = DIGEST_SIZE + _STATE.size


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image's entry is kept, and the state of the image's file beside its size and time.

    `of_size` is the key of a mark that says that there are entries of files of its `size`, and `path` the image's own.
    """

    key: str
    state: bytes
    of_size: str
    size: int
    path: str


class ImageStore:
    """The image embeddings of one model, described by `facts`.

    `made_with` are the settings that embeddings depend on beside the model. With `verify`, images are read and compared
    with a hash of their content. A cache that fails finds nothing and keeps nothing; no method raises.
    """

    def __init__(
        self, memory: Memory, facts: ModelFacts | ModelRecord, *, made_with: Sequence[str], verify: bool
    ) -> None:
        self._memory, self._verify = memory, verify
        # All that embeddings depend on beside the images.
        self.made_by = json.dumps(
            [f"image/{facts.pixels}", facts.fingerprint, facts.preprocessing, facts.precision, *made_with]
        )
        # The keys of images that were looked up and not found: an image may change before its embedding is there.
        self._places: dict[str, _Place] = {}
        # Marks that were there before this run, and those that it made: a first run must not read its images twice.
        self._sizes: set[str] = set()
        self._own_sizes: set[str] = set()

    def look_up(self, items: Iterable[ImageItem]) -> Iterator[ImageItem | Remembered]:
        """Yield each image with its embedding, or the image alone if it must be encoded.

        An image yielded alone must be hashed when it is read, for `keep`.
        """
        items = iter(items)
        while part := list(islice(items, _AT_ONCE)):
            places = [self._place(item) for item in part]
            found = self._memory.get_bytes([place.key for place in places if place is not None])
            for first in range(0, len(part), _READ_AT_ONCE):
                several = slice(first, first + _READ_AT_ONCE)
                yield from self._in_turn(part[several], places[several], found)

    def as_they_were(self, items: Iterable[ImageItem]) -> Iterator[bool | None]:
        """For each image: true if it is as it was when it was encoded, false if its content is another.

        `None` where there is no entry of its path, size and time.
        """
        items = iter(items)
        while part := list(islice(items, _AT_ONCE)):
            places = [self._place(item) for item in part]
            found = self._memory.get_bytes([place.key for place in places if place is not None])
            for item, place in zip(part, places, strict=True):
                kept = None if place is None else found.get(place.key)
                if place is not None and (kept is None or not self._is_same(item, place, kept)):
                    yield self._was_rewritten(item, place) or (None if kept is None else False)
                else:
                    yield None if place is None else True

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
                values[place] = entry.digest + place.state + np.ascontiguousarray(embedding, dtype="<f4").tobytes()
        self._own_sizes |= {place.of_size for place in values} - self._sizes
        self._put(values)

    def _in_turn(
        self, items: Sequence[ImageItem], places: Sequence[_Place | None], found: Mapping[str, bytes]
    ) -> Iterator[ImageItem | Remembered]:
        """Yield as `look_up`; `found` are the entries by path."""
        values: dict[_Place, bytes] = {}
        missing: dict[_Place, ImageItem] = {}
        touched: dict[_Place, bytes] = {}
        for item, place in zip(items, places, strict=True):
            kept = None if place is None else found.get(place.key)
            if place is not None and kept is not None and self._is_same(item, place, kept):
                values[place] = kept
                if kept[DIGEST_SIZE:_HEAD] != place.state:
                    touched[place] = kept[:DIGEST_SIZE] + place.state + kept[_HEAD:]
            elif place is not None:
                missing[place] = item
        by_content = self._by_content(missing)
        self._put(touched | by_content)
        values |= by_content
        for item, place in zip(items, places, strict=True):
            if place in values:
                yield Remembered(item, (np.frombuffer(values[place][_HEAD:], dtype="<f4"),))
                continue
            if place is not None:
                self._places[item.id] = place
            yield item

    def _by_content(self, missing: Mapping[_Place, ImageItem]) -> dict[_Place, bytes]:
        """The entries of images that are known by their content alone; those of a size that none has are not read."""
        sizes = {place.of_size for place in missing} - self._own_sizes
        rewritten = self._memory.get_bytes([contents.rewritten_key(place.size) for place in missing])
        self._sizes |= self._memory.get_bytes(list(sizes)).keys()
        digests = {
            place: digest
            for place, item in missing.items()
            if (place.of_size in self._sizes or contents.rewritten_key(place.size) in rewritten)
            and (digest := _digest(item)) is not None
        }
        # What has the same pixels has the same embedding.
        groups = contents.same_pixels(set(digests.values()), memory=self._memory)
        pointers = {digest: self._pointer(digest) for group in groups.values() for digest in group}
        keys = self._memory.get_bytes(list(pointers.values()))
        entries = self._memory.get_bytes([key.decode() for key in keys.values()])
        kept = {digest: entries.get(keys[pointer].decode()) for digest, pointer in pointers.items() if pointer in keys}
        found = {}
        for place, digest in digests.items():
            entry = next(
                (one for same in groups[digest] if (one := kept.get(same)) and one[:DIGEST_SIZE] == same), None
            )
            if entry is not None:
                found[place] = digest + place.state + entry[_HEAD:]
        return found

    def _put(self, values: Mapping[_Place, bytes]) -> None:
        """Keep entries, and what they are found by."""
        if not values:
            return
        self._memory.put_bytes({place.key: value for place, value in values.items()}, kind=KIND)
        known: dict[str, bytes] = {}
        for place, value in values.items():
            digest = value[:DIGEST_SIZE]
            known[place.of_size] = b""
            known[self._pointer(digest)] = place.key.encode()
            known[contents.content_key(place.path)] = digest
        self._memory.put_bytes(known, kind=contents.KIND)

    def _pointer(self, digest: bytes) -> str:
        """The key of an image's content, under which the key of its entry is kept."""
        return contents.key_of(self.made_by, "content", digest.hex())

    def _is_same(self, item: ImageItem, place: _Place, kept: bytes) -> bool:
        """True if the image is the one that the kept entry is about."""
        as_it_was = kept[DIGEST_SIZE:_HEAD] == place.state and not self._verify
        return as_it_was or _digest(item) == kept[:DIGEST_SIZE]

    def _was_rewritten(self, item: ImageItem, place: _Place) -> bool:
        """True if the image's file has other bytes than when it was encoded, and the same pixels."""
        before = contents.content_key(place.path)
        found = self._memory.get_bytes([before, contents.rewritten_key(place.size)])
        digest = _digest(item) if len(found) > 1 else None
        return digest is not None and found[before] in contents.same_pixels([digest], memory=self._memory)[digest]

    def _place(self, item: ImageItem) -> _Place | None:
        """The keys of the image's entry and the state of its file; `None` for an image without a readable file."""
        if item.file is None:
            return None
        try:
            size, modified, *state = state_of(item.file)
        except (OSError, ValueError):
            return None
        path, frame = contents.place_of(item.id, item.file), item.reference.frame
        # The second frame of three is another than the second of five.
        of_frame = () if frame == WHOLE else (frame.number, frame.of)
        key = contents.key_of(self.made_by, path, size, modified, *of_frame)
        of_size = contents.key_of(self.made_by, "size", size)
        return _Place(key, _STATE.pack(*(number & _MOST for number in state)), of_size, size, path)


def _digest(item: ImageItem) -> bytes | None:
    """The hash of an image's content; `None` if it cannot be read."""
    try:
        return digest_of(read(item.reference), item.reference.frame)
    # The reason is reported when the image is read again to be encoded.
    except Exception:
        return None
