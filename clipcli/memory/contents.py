"""What was last found at each path, by content: so that a file that was moved or tagged is known again.

An entry is the hash of an image's content by its path, whatever the model. Beside these it is kept which contents have
the same pixels, as a photo before and after keywords were written into it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from clipcli.data.reference import DIGEST_SIZE, digest_of
from clipcli.memory.memory import Memory

KIND = "image contents"
# As many other contents with the same pixels are kept in mind.
_MOST_SAME = 32


def place_of(id_: str, file: str) -> str:
    """The absolute path of an image that is called `id_` and lies in a file, or is it."""
    # An image of a zip may be called otherwise than the zip, as a table that names it is free to do.
    inside = id_.removeprefix(file) if id_.startswith(file) else f"\0{id_}"
    return os.path.abspath(file) + inside


def key_of(*parts: object) -> str:
    """The key of a hash of these parts."""
    content = "\0".join(map(str, parts))
    return hashlib.blake2b(content.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()


def content_key(place: str) -> str:
    """The key of what was last found at an absolute path."""
    return key_of("content of", place)


def contents_of(paths: Iterable[str], *, memory: Memory) -> dict[str, bytes]:
    """The hashes of what was last found at these paths, as rows name them; others are left out.

    Contents with the same pixels have one hash, that of the one that was known first.
    """
    keys = {path: content_key(os.path.abspath(path)) for path in paths if "\0" not in path}
    found = memory.get_bytes(list(keys.values()))
    groups = same_pixels(set(found.values()), memory=memory)
    return {path: groups[found[key]][0] for path, key in keys.items() if key in found}


def same_pixels(digests: Iterable[bytes], *, memory: Memory) -> dict[bytes, tuple[bytes, ...]]:
    """For each content all that are known to have its pixels, itself among them, the one that was known first ahead."""
    keys = {digest: key_of("same pixels", digest.hex()) for digest in digests}
    found = memory.get_bytes(list(keys.values()))
    return {digest: _split(found[key]) if key in found else (digest,) for digest, key in keys.items()}


def note_same_pixels(former: bytes, new: bytes, *, memory: Memory) -> None:
    """Remember that a file has the same pixels by its `former` and its `new` bytes."""
    digests = digest_of(former), digest_of(new)
    groups = same_pixels(digests, memory=memory)
    group = tuple(dict.fromkeys([*groups[digests[0]], *groups[digests[1]]]))
    # The first, and of the others the latest.
    group = group[:1] + group[1:][-_MOST_SAME:]
    values = {key_of("same pixels", digest.hex()): b"".join(group) for digest in group}
    values |= {rewritten_key(len(data)): b"" for data in (former, new)}
    memory.put_bytes(values, kind=KIND)


def rewritten_key(size: int) -> str:
    """The key of a mark that says that a file of this size was rewritten with the same pixels."""
    return key_of("same pixels of size", size)


def _split(value: bytes) -> tuple[bytes, ...]:
    return tuple(value[n : n + DIGEST_SIZE] for n in range(0, len(value), DIGEST_SIZE))
