"""What was last found at each path, by content: so that a file that was moved is known again.

An entry is the hash of an image's content by its path, whatever the model.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from clipcli.memory.memory import Memory

KIND = "image contents"


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
    """The hashes of what was last found at these paths, as rows name them; others are left out."""
    keys = {path: content_key(os.path.abspath(path)) for path in paths if "\0" not in path}
    found = memory.get_bytes(list(keys.values()))
    return {path: found[key] for path, key in keys.items() if key in found}
