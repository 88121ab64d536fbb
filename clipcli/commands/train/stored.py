"""Images that are encoded once for a whole run, where the image tower stays as it is.

LiT (Zhai et al. 2022) trains the text tower beside a locked image tower, which gives an image the same embedding in
each epoch and at each validation. So the embedding takes the place of the image: the weights that are learned are the
same. Of images that are changed at random a few views are encoded, and one of them is drawn each time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.augment import View
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.settings import TrainConfig
from clipcli.encoding.encode import encode, joined
from clipcli.encoding.encoders import Encoders
from clipcli.events import Event, ImagesEmbedded
from clipcli.images.batches import batches_for_each
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.isolate import attempting
from clipcli.images.limits import Limits
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.threads import DecodeThreads
from clipcli.images.wanted import Found
from clipcli.notices import Note, Notices, unsaid
from clipcli.records import Content, Embedded, Entry, ImageItem, Skipped

Array = NDArray[np.float32]
_VIEWS = 5

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
    """True where images are encoded once: the tower learns nothing, and they are whole, or views of them are kept."""
    return keeps_images(config) and (config.augment_views is not None or not config.changes_images)


@dataclass(frozen=True, slots=True)
class StoredImages:
    """The embeddings `[N, K, D]` of K views of the images of a run, float32.

    Those of the images in `skipped`, by index, are zero.
    """

    embeddings: Array
    skipped: dict[int, Skipped]

    def drawn(self, index: int, rng: np.random.Generator) -> Array | Skipped:
        """The embedding `[D]` of a view of an image, or why it cannot be read."""
        if index in self.skipped:
            return self.skipped[index]
        views: Array = self.embeddings[index]
        embedding: Array = views[int(rng.integers(len(views))) if len(views) > 1 else 0]
        return embedding


@dataclass(frozen=True, slots=True)
class Views:
    """So many random views of each image; they depend on the seed and on the image's place among all, alone."""

    count: int
    view: View
    seed: int

    def look(self, data: Content, *, place: int, note: Note) -> Found:
        """The pixels of each view of the image at this place."""
        drawn = (np.random.default_rng([self.seed, _VIEWS, place, k]) for k in range(self.count))
        return [np.array(self.view(data, rng, unsaid if k else note)) for k, rng in enumerate(drawn)], None


def _encode_views(
    views: Views, items: Sequence[ImageItem], *, among: Sequence[ImageItem], backbone: Backbone, limits: Limits
) -> Generator[Event | Embedded, None, None]:
    """As `encode`, with an array of embeddings for each view; the items have places among all those of the run."""
    # An image that is in the data several times has the same views each time.
    places = {item.id: n for n, item in reversed([*enumerate(among)])}

    watch, notices = Stopwatch(), Notices()
    encoders = Encoders([backbone] * views.count, watch=watch)
    how: dict[str, Any] = {"batch_size": backbone.runtime.batch_size, "notices": notices}
    threads = DecodeThreads(backbone.runtime.workers, watch=watch)
    with attempting(limits, about=lambda item: notices.about(item.id)) as attempt:

        def read(item: ImageItem, note: Note) -> Found | Skipped:
            return attempt(item, partial(views.look, place=places[item.id], note=note))

        for batches, encoded in encoders.each(batches_for_each(views.count, items, read=read, threads=threads, **how)):
            yield from encoders.warnings()
            yield joined(batches[0].entries, encoded)
    yield from notices.events()


def store_images(
    items: Sequence[ImageItem],
    backbone: Backbone,
    *,
    runtime: Runtime,
    processes: Processes,
    limits: Limits = DEFAULT_LIMITS,
    views: Views | None = None,
) -> Generator[Event, None, StoredImages]:
    """Encode all images, or `views` of them, each process a part of them, in the precision of `runtime`."""
    own = items[processes.rank :: processes.count]
    entries: list[Entry] = []
    shape = (1 if views is None else views.count, backbone.dimensions)
    embeddings = np.zeros((len(own), *shape), np.float32)
    with processes.together(), torch.autocast(runtime.kind, runtime.dtype, enabled=runtime.is_reduced):
        events = encode(own, backbones=[backbone], limits=limits)
        if views is not None:
            events = _encode_views(views, own, among=items, backbone=backbone, limits=limits)
        for event in events:
            if not isinstance(event, Embedded):
                yield event
                continue
            readable = [n for n, entry in enumerate(event.entries, len(entries)) if not isinstance(entry, Skipped)]
            embeddings[readable] = np.stack(event.embeddings, axis=1)
            entries += event.entries
            yield ImagesEmbedded(min(len(items), len(entries) * processes.count), len(items))
    unread = {n: entry for n, entry in enumerate(entries) if isinstance(entry, Skipped)}
    if processes.count == 1:
        return StoredImages(embeddings, unread)
    whole = np.zeros((len(items), *shape), np.float32)
    skipped: dict[int, Skipped] = {}
    for rank, (part, missing) in enumerate(processes.gather_objects((embeddings, unread))):
        whole[rank :: processes.count] = part
        skipped |= {rank + n * processes.count: entry for n, entry in missing.items()}
    return StoredImages(whole, skipped)
