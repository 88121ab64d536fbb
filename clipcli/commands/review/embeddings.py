"""The embeddings of the photos, as far as the cache has them: nothing is encoded to review."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.encoding_settings import Encoding
from clipcli.encoding.model import Model
from clipcli.files.manifest import Manifest
from clipcli.memory.memory import open_memory
from clipcli.records import ImageItem, Remembered
from clipcli.settings import build_record


def stored_embeddings(items: Sequence[ImageItem], manifest: Manifest | None) -> NDArray[np.float32] | None:
    """The embeddings `[N, D]` that the run of this manifest left in the cache, zeros for images without one.

    `None` if it has none of them.
    """
    if manifest is None:
        return None
    names = {field.name for field in dataclasses.fields(Encoding)}
    settings = {name: value for name, value in manifest.provenance.settings.items() if name in names}
    memory = open_memory(cache=True, cache_size=None)
    store = Model(manifest.provenance.model, build_record(Encoding, settings), memory=memory).store
    if store is None:
        return None
    found = [entry.embeddings[0] if isinstance(entry, Remembered) else None for entry in store.look_up(items)]
    known = next((embedding for embedding in found if embedding is not None), None)
    if known is None:
        return None
    nothing = np.zeros_like(known)
    return np.stack([nothing if embedding is None else embedding for embedding in found])
