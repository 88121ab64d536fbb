"""Encodes images with models that are loaded: decoded once for all of them, in batches."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import UsageError
from clipcli.events import Event, Warned
from clipcli.images.limits import Limits
from clipcli.images.stopwatch import Stopwatch
from clipcli.notices import Notices
from clipcli.records import Batch, Embedded, Entry, ImageItem, Remembered, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.encoders import ImageEncoder
    from clipcli.backbones.preprocessing import Preprocessing
    from clipcli.images.threads import DecodeThreads

Array = NDArray[np.float32]


def encode(
    items: Iterable[ImageItem | Remembered],
    *,
    backbones: Sequence[ImageEncoder],
    decode: str = "exact",
    color: str = "managed",
    limits: Limits | None = None,
    digests: bool = False,
    watch: Stopwatch | None = None,
    fill: int | None = None,
    notices: Notices | None = None,
) -> Generator[Event | Embedded, None, None]:
    """Embed images in batches with backbones that are loaded; what was odd about them comes last.

    With `notices` it is counted there, and does not come. `fill` is as in `Encoders`.

    A backbone does not encode images whose embedding is in a `Remembered`. With `digests`, images are hashed when they
    are read. `decode` is a key of `DECODES`, `color` of `COLORS`, and `limits` are those of decoding. Raises
    `ClipcliError` if a backbone gives NaN or infinity, and `UsageError` if `--decode card` meets several input sizes.
    """
    from clipcli.encoding.encoders import Encoders
    from clipcli.images.threads import DecodeThreads

    watch = watch or Stopwatch()
    runtime = backbones[0].runtime
    threads = DecodeThreads(runtime.workers, most=runtime.most_workers, watch=watch)
    encoders = Encoders(backbones, watch=watch, fill=fill)
    own = notices or Notices()
    how: dict[str, Any] = {"decode": decode, "color": color, "limits": limits, "digests": digests}
    coming = _decoded(items, backbones, threads=threads, notices=own, **how)
    decoded = watch.each(coming, work="wait")
    for batches, encoded in watch.each(encoders.each(decoded), work="encode"):
        yield from map(Warned, dict.fromkeys(note for batch in batches for note in batch.notes))
        yield from encoders.warnings()
        yield joined(batches[0].entries, encoded)
    if notices is None:
        yield from own.events()


def _decoded(
    items: Iterable[ImageItem | Remembered],
    backbones: Sequence[ImageEncoder],
    *,
    decode: str,
    color: str = "managed",
    limits: Limits | None = None,
    threads: DecodeThreads,
    digests: bool = False,
    notices: Notices | None = None,
) -> Iterator[tuple[Batch, ...]]:
    """Yield batches of the images, one for each backbone. Backbones with the same preprocessing share a batch."""
    from clipcli.images.batches import batches_for_each
    from clipcli.images.isolate import reader
    from clipcli.images.wanted import Wanted

    ways: dict[object, Preprocessing] = {}
    for backbone in backbones:
        ways.setdefault(_pixels_of(backbone.preprocessing), backbone.preprocessing)
    size = max(backbone.runtime.batch_size for backbone in backbones)
    how: dict[str, Any] = {"batch_size": size, "threads": threads, "notices": notices}
    look: dict[str, Any] = {"color": color, "digests": digests, "limits": limits or Limits()}
    coming: Iterator[tuple[Batch, ...]]
    with ExitStack() as stack:
        if decode == "card":
            from clipcli.images import card

            if len(ways) > 1:
                raise UsageError("--decode card decodes for models of one input size; take them one by one")
            [way] = ways.values()
            device = backbones[0].runtime.device
            coming = ((batch,) for batch in card.batches(items, preprocessing=way, device=device, **how, **look))
        else:
            wanted = Wanted(ways=tuple(ways.values()), decode=decode, **look)
            read = stack.enter_context(reader(wanted, watch=threads.watch))
            coming = batches_for_each(len(ways), items, read=read, **how)
        for batches in coming:
            by_way = dict(zip(ways, batches, strict=True))
            yield tuple(by_way[_pixels_of(backbone.preprocessing)] for backbone in backbones)


def _pixels_of(preprocessing: Preprocessing) -> object:
    """The part of the preprocessing that the pixels depend on. Mean and std are applied later, on the device."""
    p = preprocessing
    return p.size, p.resize_mode, p.interpolation, p.fill_color


def joined(entries: Sequence[Entry | Remembered], encoded: Sequence[Array]) -> Embedded:
    """Merge the embeddings `[N, D]` that each model encoded now with the remembered ones, in order."""
    plain = tuple(entry.item if isinstance(entry, Remembered) else entry for entry in entries)
    if not any(isinstance(entry, Remembered) for entry in entries):
        return Embedded(plain, tuple(encoded))
    images = [entry for entry in entries if not isinstance(entry, Skipped)]
    embeddings = []
    for model, rows in enumerate(map(iter, encoded)):
        known = [one.embeddings[model] if isinstance(one, Remembered) else None for one in images]
        embeddings.append(np.stack([next(rows) if one is None else one for one in known]))
    return Embedded(plain, tuple(embeddings))
