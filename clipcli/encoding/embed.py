"""From images to embeddings, for every command: taken from memory, or encoded by the models.

Images are read and decoded once for all models, and resized once for all models with the same preprocessing. New
embeddings are kept for later runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.checkpoint import IMAGE
from clipcli.data.frames import with_frames
from clipcli.encoding.encode import encode, joined
from clipcli.encoding.frame_means import means_of_frames
from clipcli.encoding.model import Model
from clipcli.events import Event, ImagesEmbedded, TimeSpent
from clipcli.images.limits import Limits, limits_of
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.images import ImageStore
from clipcli.notices import Notices
from clipcli.records import Embedded, Entry, ImageItem, Remembered, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.encoders import ImageEncoder

Array = NDArray[np.float32]
# The number of remembered images that are passed on together.
_PART = 1024


def embed(
    items: Sequence[ImageItem],
    *,
    models: Sequence[Model],
    images: int | None = None,
    places: Sequence[int] | None = None,
) -> Generator[Event | Embedded, None, None]:
    """Embed all images with every model, in parts, in order. Bad images come as `Skipped`.

    No model is loaded while all models remember the images. `Later` and `TimeSpent` come last. `images` is the number
    of images of the whole run, by which an engine is chosen, if these are the rest of them. For a shard, `places` are
    those of the items in the whole run: then batches are of the size that they have there, and embeddings are the same
    to the last digit. Raises the errors of loading a model, and `ClipcliError` if a model gives NaN or infinity.
    """
    frames = models[0].settings.frames
    counts: Sequence[int] | None = None
    if frames is not None:
        items, counts = with_frames(items, frames)
    found = _embed(items, models=models, images=max(images or 0, len(items)), places=places)
    yield from found if counts is None else means_of_frames(found, counts)
    for model in models:
        yield from model.afterwards()
    yield _time_spent(models[0].watch)


def _embed(
    items: Sequence[ImageItem], *, models: Sequence[Model], images: int, places: Sequence[int] | None
) -> Generator[Event | Embedded, None, None]:
    """As `embed`, for images of one frame each."""
    done, watch = 0, models[0].watch
    if all(model.facts is not None for model in models):
        done = yield from _remembered(items, models, watch=watch)
    if done < len(items):
        rest = None if places is None else places[done:]
        yield from _encoded(items[done:], models, images=images, places=rest)


def embed_images(
    items: Sequence[ImageItem], *, models: Sequence[Model]
) -> Generator[Event, None, tuple[tuple[Entry, ...], list[Array]]]:
    """Embed all images with all models, for what needs every embedding at once.

    Yields as `embed`, and `ImagesEmbedded`. Returns an entry for each item, `Skipped` if it cannot be read, and the
    embeddings `[M, D]` that each model gives of the `M` images that can be.
    """
    entries: list[Entry] = []
    parts: list[list[Array]] = [[] for _ in models]
    for event in embed(items, models=models):
        if not isinstance(event, Embedded):
            yield event
            continue
        entries += event.entries
        for model_parts, embeddings in zip(parts, event.embeddings, strict=True):
            model_parts.append(embeddings)
        yield ImagesEmbedded(len(entries), len(items))
    return tuple(entries), [np.concatenate(model_parts) for model_parts in parts]


def towers_for(items: Sequence[ImageItem], *, model: Model) -> tuple[str, ...]:
    """The towers to load for the images: none if the image tower was prepared, or if the model remembers the first
    thousand, else the image tower.

    Then it probably remembers the others too. An image that cannot be read needs no tower.
    """
    if model.facts is None:
        return (IMAGE,)
    if model.is_prepared(IMAGE):
        return ()
    items, _ = with_frames(items[:_PART], model.settings.frames)
    looked_up, limits = _looked_up(items, [model.store]), limits_of(model.settings)
    return () if all(_settled(entry, limits) is not None for entry in looked_up) else (IMAGE,)


def _remembered(
    items: Sequence[ImageItem], models: Sequence[Model], *, watch: Stopwatch
) -> Generator[Event | Embedded, None, int]:
    """Yield the embeddings of the first images, up to the first one that must be encoded; returns their number."""
    nothing = [np.empty((0, model.facts.dimensions if model.facts else 0), np.float32) for model in models]
    done, limits = 0, limits_of(models[0].settings)
    looked_up = _looked_up(items, [model.store for model in models])
    while True:
        entries: list[Entry | Remembered] = []
        with watch.on("cache"):
            for entry in islice(looked_up, _PART):
                settled = _settled(entry, limits)
                if settled is None:
                    return done
                entries.append(settled)
        if not entries:
            return done
        found = joined(entries, nothing)
        with watch.on("write"):
            yield found
        done += len(entries)


def _encoded(
    items: Sequence[ImageItem], models: Sequence[Model], *, images: int, places: Sequence[int] | None
) -> Generator[Event | Embedded, None, None]:
    """Yield the embeddings of the images, encoded by the models that do not remember them, and keep the new ones."""
    backbones: list[ImageEncoder] = []
    if limits_of(models[0].settings).isolate:
        from clipcli.images.house import HOUSE

        # While the model is loaded.
        HOUSE.prepare()
    for model in models:
        backbones += [(yield from model.for_images(images))]
    memory, watch = models[0].memory, models[0].watch
    yield from memory.warnings()
    stores = [model.store for model in models]
    hashes, settings, notices = any(store is not None for store in stores), models[0].settings, Notices()
    how: dict[str, Any] = {"backbones": backbones, "decode": settings.decode, "color": settings.color}
    how |= {"limits": limits_of(settings), "digests": hashes, "watch": watch, "notices": notices}
    size = max(backbone.runtime.batch_size for backbone in backbones)
    for part, fill in _filled(items, places, images=images, size=size):
        for event in encode(_looked_up(part, stores), fill=fill, **how):
            if isinstance(event, Embedded):
                with watch.on("cache"):
                    for store, embeddings in zip(stores, event.embeddings, strict=True):
                        if store is not None:
                            store.keep(event.entries, embeddings)
                yield from memory.warnings()
            with watch.on("write"):
                yield event
    yield from notices.events()


def _filled(
    items: Sequence[ImageItem], places: Sequence[int] | None, *, images: int, size: int
) -> Iterator[tuple[Sequence[ImageItem], int | None]]:
    """The items in parts, each with the number that its batches are filled up to.

    For a shard the first are those that are in whole batches of the run, and the others those of its last batch.
    """
    if places is None:
        yield items, None
        return
    last = images % size
    first = bisect_left(places, images - last)
    if first:
        yield items[:first], size
    if first < len(items):
        yield items[first:], last


def _looked_up(items: Iterable[ImageItem], stores: Sequence[ImageStore | None]) -> Iterator[ImageItem | Remembered]:
    """Yield each image with the embeddings that the stores remember; as it is if no store does."""
    known = [None if store is None else store.look_up(items) for store in stores]
    if len(known) == 1 and known[0] is not None:
        yield from known[0]
        return
    for item in items:
        found = [None if entries is None else next(entries) for entries in known]
        embeddings = tuple(one.embeddings[0] if isinstance(one, Remembered) else None for one in found)
        yield item if all(one is None for one in embeddings) else Remembered(item, embeddings)


def _settled(entry: ImageItem | Remembered, limits: Limits) -> Remembered | Skipped | None:
    """The entry of an image that needs no model, as all remember it or it cannot be read; `None` otherwise."""
    if isinstance(entry, Remembered) and entry.is_whole:
        return entry
    if limits.isolate:
        # Nothing is decoded outside of workers to find out.
        return None
    from clipcli.images.decode import attempt, decode, prepare_pillow

    prepare_pillow()
    item = entry.item if isinstance(entry, Remembered) else entry
    decoded = attempt(item, lambda data: decode(data, limits=limits, frame=item.reference.frame))
    return decoded if isinstance(decoded, Skipped) else None


def _time_spent(watch: Stopwatch) -> TimeSpent:
    kinds = ("load", "labels", "cache", "read", "decode", "wait", "copy", "encode", "write")
    return TimeSpent(total=watch.total, workers=watch.workers, **{kind: watch[kind] for kind in kinds})
