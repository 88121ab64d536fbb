"""From images to embeddings, for every command: from memory where they were encoded before, else by the model.

The images are read and decoded once, whatever the number of models, and resized once for all models that want the same
pixels. New embeddings are kept for later runs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.checkpoint import IMAGE
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, TimeSpent, Warned
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.threads import DecodeThreads
from clipcli.memory.images import ImageStore
from clipcli.records import Batch, Embedded, Entry, ImageItem, Remembered, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone, Preprocessing

Array = NDArray[np.float32]
# So many remembered images come at once.
_PART = 1024


def embed(items: Sequence[ImageItem], *, models: Sequence[Model]) -> Generator[Event | Embedded, None, None]:
    """The embeddings of all images by every model, part by part in order, bad images included as `Skipped`.

    As long as every model remembers the images, none is loaded. Where one was loaded, `TimeSpent` comes last. Raises
    the errors of loading, and `ClipcliError` where a model gives something that is not a number.
    """
    done = 0
    if all(model.facts is not None for model in models):
        done = yield from _remembered(items, models)
    if done < len(items):
        yield from _encoded(items[done:], models)


def towers_for(items: Sequence[ImageItem], *, model: Model) -> tuple[str, ...]:
    """The towers that the images need: none where the model remembers the first thousand, as then it may know them all.

    An image that cannot be read needs no model either.
    """
    if model.facts is None:
        return (IMAGE,)
    looked_up = _looked_up(items[:_PART], [model.store])
    return () if all(_settled(entry) is not None for entry in looked_up) else (IMAGE,)


def _remembered(items: Sequence[ImageItem], models: Sequence[Model]) -> Generator[Event | Embedded, None, int]:
    """The first images, up to the first one that a model must encode; gives how many there are."""
    nothing = [np.empty((0, model.facts.dimensions if model.facts else 0), np.float32) for model in models]
    done = 0
    looked_up = _looked_up(items, [model.store for model in models])
    while part := list(islice(looked_up, _PART)):
        entries: list[Entry | Remembered] = []
        for entry in part:
            settled = _settled(entry)
            if settled is None:
                return done
            entries.append(settled)
        yield _joined(entries, nothing)
        done += len(entries)
    return done


def _encoded(items: Sequence[ImageItem], models: Sequence[Model]) -> Generator[Event | Embedded, None, None]:
    """The images, encoded by those models that do not remember them; new embeddings are kept."""
    backbones: list[Backbone] = []
    for model in models:
        backbones += [(yield from model.for_images(len(items)))]
    memory, watch = models[0].memory, models[0].watch
    yield from memory.warnings()
    stores = [model.store for model in models]
    looked_up = _looked_up(items, stores)
    for event in encode(looked_up, backbones=backbones, decode=models[0].settings.decode, watch=watch):
        if isinstance(event, Embedded):
            for store, embeddings in zip(stores, event.embeddings, strict=True):
                if store is not None:
                    store.keep(event.entries, embeddings)
            yield from memory.warnings()
        with watch.on("write"):
            yield event


def encode(
    items: Iterable[ImageItem | Remembered],
    *,
    backbones: Sequence[Backbone],
    decode: str = "exact",
    watch: Stopwatch | None = None,
) -> Generator[Event | Embedded, None, None]:
    """The embeddings of images by backbones that are loaded, in batches; `TimeSpent` comes last.

    An image is encoded by those backbones that have no embedding of it in a `Remembered`. Raises `ClipcliError` where a
    backbone gives something that is not a number.
    """
    from clipcli.encoding.encoders import Encoders

    watch = watch or Stopwatch()
    runtime = backbones[0].runtime
    threads = DecodeThreads(runtime.workers, most=runtime.most_workers, watch=watch)
    encoders = Encoders(backbones, watch=watch)
    decoded = watch.each(_decoded(items, backbones, decode=decode, threads=threads), work="wait")
    for batches, encoded in watch.each(encoders.each(decoded), work="embed"):
        yield from map(Warned, dict.fromkeys(note for batch in batches for note in batch.notes))
        yield from encoders.warnings()
        yield _joined(batches[0].entries, encoded)
    yield _time_spent(watch, workers=threads.count)


def _looked_up(items: Iterable[ImageItem], stores: Sequence[ImageStore | None]) -> Iterator[ImageItem | Remembered]:
    """Each image with the embeddings that the stores have of it, or as it is where none has one."""
    known = [None if store is None else store.look_up(items) for store in stores]
    if len(known) == 1 and known[0] is not None:
        yield from known[0]
        return
    for item in items:
        found = [None if entries is None else next(entries) for entries in known]
        embeddings = tuple(one.embeddings[0] if isinstance(one, Remembered) else None for one in found)
        yield item if all(one is None for one in embeddings) else Remembered(item, embeddings)


def _settled(entry: ImageItem | Remembered) -> Remembered | Skipped | None:
    """The image as far as no model is needed: remembered by all, or one that cannot be read; `None` otherwise."""
    if isinstance(entry, Remembered) and entry.is_whole:
        return entry
    from clipcli.images.decode import attempt, decode, register_plugins

    register_plugins()
    decoded = attempt(entry.item if isinstance(entry, Remembered) else entry, decode)
    return decoded if isinstance(decoded, Skipped) else None


def _decoded(
    items: Iterable[ImageItem | Remembered], backbones: Sequence[Backbone], *, decode: str, threads: DecodeThreads
) -> Iterator[tuple[Batch, ...]]:
    """Batches of the images, one for each backbone; backbones that want the same pixels get the same batch."""
    from clipcli.images.batches import batches_for_each
    from clipcli.images.resize import least_pixels, resizer

    ways: dict[object, Preprocessing] = {}
    for backbone in backbones:
        ways.setdefault(_pixels_of(backbone.preprocessing), backbone.preprocessing)
    size = max(backbone.runtime.batch_size for backbone in backbones)
    if decode == "card":
        yield from ((batch,) * len(backbones) for batch in _on_card(items, ways, backbones, threads, size=size))
        return
    resizes = [resizer(way) for way in ways.values()]
    least = least_pixels(list(ways.values()), decode=decode)
    for batches in batches_for_each(resizes, items, batch_size=size, threads=threads, least=least):
        by_way = dict(zip(ways, batches, strict=True))
        yield tuple(by_way[_pixels_of(backbone.preprocessing)] for backbone in backbones)


def _on_card(
    items: Iterable[ImageItem | Remembered],
    ways: dict[object, Preprocessing],
    backbones: Sequence[Backbone],
    threads: DecodeThreads,
    *,
    size: int,
) -> Iterator[Batch]:
    from clipcli.images import card

    if len(ways) > 1:
        raise UsageError("--decode card decodes for models of one input size; evaluate them one by one")
    [preprocessing] = ways.values()
    device = backbones[0].runtime.device
    return card.batches(items, preprocessing=preprocessing, device=device, batch_size=size, threads=threads)


def _pixels_of(preprocessing: Preprocessing) -> object:
    """All of it that pixels depend on; mean and standard deviation come later."""
    p = preprocessing
    return p.size, p.resize_mode, p.interpolation, p.fill_color


def _joined(entries: Sequence[Entry | Remembered], encoded: Sequence[Array]) -> Embedded:
    """The entries with the embeddings `[N, D]` of each model: those encoded now, and those remembered, in order."""
    plain = tuple(entry.item if isinstance(entry, Remembered) else entry for entry in entries)
    if not any(isinstance(entry, Remembered) for entry in entries):
        return Embedded(plain, tuple(encoded))
    images = [entry for entry in entries if not isinstance(entry, Skipped)]
    embeddings = []
    for model, rows in enumerate(map(iter, encoded)):
        known = [one.embeddings[model] if isinstance(one, Remembered) else None for one in images]
        embeddings.append(np.stack([next(rows) if one is None else one for one in known]))
    return Embedded(plain, tuple(embeddings))


def _time_spent(watch: Stopwatch, *, workers: int) -> TimeSpent:
    return TimeSpent(
        total=watch.total,
        load=watch["load"],
        read=watch["read"],
        decode=watch["decode"],
        wait=watch["wait"],
        copy=watch["copy"],
        encode=watch["embed"] - watch["wait"] - watch["copy"],
        write=watch["write"],
        workers=workers,
    )
