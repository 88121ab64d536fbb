"""Images that are encoded once for a whole run, where the image tower stays as it is and images are not changed.

LiT (Zhai et al. 2022) trains the text tower beside a locked image tower, which gives an image the same embedding in
each epoch and at each validation. So the embedding takes the place of the image: the weights that are learned are the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.settings import TrainConfig
from clipcli.encoding.encode import encode
from clipcli.events import Event, ImagesEmbedded
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.limits import Limits
from clipcli.records import Embedded, Entry, ImageItem, Skipped

Array = NDArray[np.float32]


# As `encode_images_together`.
EncodeImages = Callable[..., tuple[Array, list[int], tuple[str, ...]]]


def remembering(encode_images: EncodeImages) -> EncodeImages:
    """The same for one image tower that stays as it is: what was encoded once is remembered."""
    known: dict[str, Array | None] = {}

    def look_up(
        items: Sequence[ImageItem], *, backbone: Backbone, processes: Processes
    ) -> tuple[Array, list[int], tuple[str, ...]]:
        new = [item for item in items if item.id not in known]
        warnings: tuple[str, ...] = ()
        if new:
            embeddings, kept, warnings = encode_images(new, backbone=backbone, processes=processes)
            known.update(dict.fromkeys(item.id for item in new))
            known.update({new[n].id: row for n, row in zip(kept, embeddings, strict=True)})
        rows = [(n, known[item.id]) for n, item in enumerate(items)]
        readable = [(n, row) for n, row in rows if row is not None]
        return np.stack([row for _, row in readable]), [n for n, _ in readable], warnings

    return look_up


def keeps_images(config: TrainConfig) -> bool:
    """True where the image tower learns nothing: it gives an image the same embedding throughout the run."""
    return config.lock == "image" and not config.unlock_groups


def stores_images(config: TrainConfig) -> bool:
    """True where each image is encoded once: the tower learns nothing, and images are not changed at random."""
    changed = config.augment != "none" or config.cutmix > 0 or (config.crop or 1.0) < 1 or bool(config.flip)
    return keeps_images(config) and not changed


@dataclass(frozen=True, slots=True)
class StoredImages:
    """The embeddings `[N, D]` of the images of a run, float32; those of the images in `skipped`, by index, are zero."""

    embeddings: Array
    skipped: dict[int, Skipped]

    def __getitem__(self, index: int) -> Array | Skipped:
        """The embedding `[D]` of an image, or why it cannot be read."""
        if index in self.skipped:
            return self.skipped[index]
        embedding: Array = self.embeddings[index]
        return embedding

    def take(self, indices: Sequence[int]) -> StoredImages:
        """Those of some of the images, in this order."""
        skipped = {n: self.skipped[index] for n, index in enumerate(indices) if index in self.skipped}
        return StoredImages(self.embeddings[np.asarray(indices, dtype=np.intp)], skipped)


def store_images(
    items: Sequence[ImageItem],
    backbone: Backbone,
    *,
    runtime: Runtime,
    processes: Processes,
    limits: Limits = DEFAULT_LIMITS,
) -> Generator[Event, None, StoredImages]:
    """Encode all images, each process a part of them, in the precision of `runtime`."""
    own = items[processes.rank :: processes.count]
    entries: list[Entry] = []
    found: list[Array] = []
    with processes.together(), torch.autocast(runtime.kind, runtime.dtype, enabled=runtime.is_reduced):
        for event in encode(own, backbones=[backbone], limits=limits):
            if not isinstance(event, Embedded):
                yield event
                continue
            entries += event.entries
            found.append(event.embeddings[0])
            yield ImagesEmbedded(min(len(items), len(entries) * processes.count), len(items))
    readable = [n for n, entry in enumerate(entries) if not isinstance(entry, Skipped)]
    embeddings = np.zeros((len(own), backbone.dimensions), np.float32)
    if readable:
        embeddings[readable] = np.concatenate(found)
    whole = np.zeros((len(items), backbone.dimensions), np.float32)
    skipped: dict[int, Skipped] = {}
    unread = {n: entry for n, entry in enumerate(entries) if isinstance(entry, Skipped)}
    for rank, (part, missing) in enumerate(processes.gather_objects((embeddings, unread))):
        whole[rank :: processes.count] = part
        skipped |= {rank + n * processes.count: entry for n, entry in missing.items()}
    return StoredImages(whole, skipped)
