"""Photos that are there twice or nearly so: near in embedding, and confirmed by a perceptual hash.

Every embedding is compared with every other, in blocks, so that memory grows with the number of images and not with its
square. Pairs that are near are confirmed by imagehash's `phash`, of the lowest frequencies of the picture in grey
(Zauner 2010), as an embedding is also near for two photos of one thing. Pairs that share a photo make one group.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.devices import cores
from clipcli.commands.find.library import Part
from clipcli.data.reference import content_of, digest_of
from clipcli.events import Event, ImagesCompared
from clipcli.images.decode import decode, prepare_pillow
from clipcli.images.isolate import attempting
from clipcli.images.limits import Limits
from clipcli.records import Content, ImageItem, Skipped

# Photos that are scaled or compressed anew have a cosine to themselves of 0.8 or more in small models, and above 0.95
# in large ones, in which others are nearer to each other too. So the least cosine is between the two: as low as lets
# so many other photos of an image be looked at. Of 64 bits of the hash such photos differ in few.
LEAST_COSINE, SURE_COSINE = 0.8, 0.95
_OTHERS = 4
MOST_BITS = 6
_DRAWN = 1000
_BLOCK = 4096
_HASH_SIZE = 8


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of a group: its `path` as users see it, its width and height in pixels, its size in bytes.

    `copy_of` is the path of an earlier photo of the group with the same bytes; `None` if there is none.
    """

    path: str
    width: int
    height: int
    size: int
    copy_of: str | None
    item: ImageItem


@dataclass(frozen=True, slots=True)
class Same:
    """Photos that are the same or nearly so: that of the most pixels first, among those that of the most bytes."""

    photos: tuple[Photo, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """What is read off a photo: width and height, size and digest of its bytes, and its perceptual hash `[64]` bool."""

    width: int
    height: int
    size: int
    digest: bytes
    hash: NDArray[np.bool_]


def duplicates_in(parts: Sequence[Part], *, most: int | None, limits: Limits) -> Generator[Event, None, list[Same]]:
    """The groups of all parts together, the largest first, `most` of them, looked at within the limits.

    Yields `ImagesCompared`.
    """
    embeddings, items = _of_different_files(parts)
    looks: dict[int, _Look | None] = {}
    groups, least = _Groups(len(items)), _least_cosine(embeddings)
    hashes = np.zeros((len(items), _HASH_SIZE**2), bool)
    blocks = range(0, len(items), _BLOCK)
    for first in blocks:
        for other in range(first, len(items), _BLOCK):
            pairs = _near_pairs(embeddings, first, other, least=least)
            wanted = sorted({n for row, columns in pairs for n in (row, *columns.tolist())} - looks.keys())
            for n, look in zip(wanted, _looks([items[n] for n in wanted], limits), strict=True):
                looks[n] = look
                if look is not None:
                    hashes[n] = look.hash
            for row, columns in pairs:
                known = columns[[looks[n] is not None for n in columns.tolist()]] if looks[row] else columns[:0]
                apart = known[groups.of[known] != groups.of[row]]
                for n in apart[(hashes[apart] != hashes[row]).sum(axis=1) <= MOST_BITS].tolist():
                    groups.join(row, n)
        yield ImagesCompared(min(first + _BLOCK, len(items)), len(items))
    found = [_same([(items[n], look) for n in members if (look := looks[n])]) for members in groups.several()]
    found.sort(key=lambda same: -len(same.photos))
    return found[:most]


def _of_different_files(parts: Sequence[Part]) -> tuple[NDArray[np.float32], list[ImageItem]]:
    """The embeddings `[N, D]` and the images, each file once, by whatever names and links it was listed."""
    seen: set[object] = set()
    kept: list[tuple[int, int]] = []
    items: list[ImageItem] = []
    for place, part in enumerate(parts):
        for n in range(len(part.names)):
            item = part.item(n)
            plain = item.reference.kind == "file" and item.file is not None
            key = os.path.realpath(str(item.file)) if plain else item.reference
            if key not in seen:
                seen.add(key)
                kept.append((place, n))
                items.append(item)
    if len(parts) == 1 and len(items) == len(parts[0].names):
        return parts[0].embeddings, items
    rows = [[n for at, n in kept if at == place] for place in range(len(parts))]
    return np.concatenate([part.embeddings[of_part] for part, of_part in zip(parts, rows, strict=True)]), items


def _least_cosine(embeddings: NDArray[np.float32]) -> float:
    """The cosine from which on pairs are looked at; by images drawn at random, few others of each image reach it."""
    drawn = np.random.default_rng(0).permutation(len(embeddings))[:_DRAWN]
    if len(drawn) < 2:
        return SURE_COSINE
    some = embeddings[np.sort(drawn)]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    share = min(1.0, _OTHERS / len(embeddings))
    return min(max(float(np.quantile(cosines, 1 - share)), LEAST_COSINE), SURE_COSINE)


def _near_pairs(
    embeddings: NDArray[np.float32], first: int, other: int, *, least: float
) -> list[tuple[int, NDArray[np.intp]]]:
    """The images of the block at `first` with those of the block at `other` that are near each and come after it."""
    cosines = embeddings[first : first + _BLOCK] @ embeddings[other : other + _BLOCK].T
    near = cosines >= least
    if first == other:
        near = np.triu(near, 1)
    rows = np.flatnonzero(near.any(axis=1))
    return [(first + int(row), other + np.flatnonzero(near[row])) for row in rows]


class _Groups:
    """Numbers that are joined to groups, and the group `of` each."""

    def __init__(self, count: int) -> None:
        self.of = np.arange(count)
        self._members: dict[int, list[int]] = {}

    def join(self, a: int, b: int) -> None:
        """Join the groups of two numbers; the smaller group becomes part of the other."""
        one, two = int(self.of[a]), int(self.of[b])
        if one == two:
            return
        members, others = self._members.pop(one, [one]), self._members.pop(two, [two])
        if len(members) < len(others):
            one, members, others = two, others, members
        self.of[others] = one
        self._members[one] = members + others

    def several(self) -> list[list[int]]:
        """The groups of two and more, by their first numbers."""
        return sorted(sorted(members) for members in self._members.values())


def _looks(items: Sequence[ImageItem], limits: Limits) -> Iterator[_Look | None]:
    """What is read off each image, in order; `None` where it cannot be read any more."""
    prepare_pillow()
    with ThreadPoolExecutor(cores()) as pool, attempting(limits) as try_:
        for look in pool.map(lambda item: try_(item, partial(_look, item, limits)), items):
            yield None if isinstance(look, Skipped) else look


def _look(item: ImageItem, limits: Limits, data: Content) -> _Look:
    import imagehash

    image = decode(data, limits=limits)
    # A worker gives the pixels of a file, and not its bytes.
    content = data if isinstance(data, bytes) else content_of(item.reference)
    if not isinstance(content, bytes):
        content = image.tobytes()
    bits = imagehash.phash(image, hash_size=_HASH_SIZE).hash.ravel()
    return _Look(image.width, image.height, len(content), digest_of(content), bits)


def _same(members: Sequence[tuple[ImageItem, _Look]]) -> Same:
    """The group, the best photo first, with copies told."""
    best_first = sorted(members, key=lambda member: (-member[1].width * member[1].height, -member[1].size))
    by_digest: dict[bytes, str] = {}
    photos = []
    for item, look in best_first:
        earlier = by_digest.setdefault(look.digest, item.id)
        copy_of = None if earlier == item.id else earlier
        photos.append(Photo(item.id, look.width, look.height, look.size, copy_of, item))
    return Same(tuple(photos))
