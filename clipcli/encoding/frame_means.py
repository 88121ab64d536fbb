"""One embedding for a file of several frames: the mean of those of its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clipcli.events import Event
from clipcli.records import WHOLE, Embedded, Entry, Skipped

Array = NDArray[np.float32]


def means_of_frames(events: Iterable[Event | Embedded], counts: Sequence[int]) -> Iterator[Event | Embedded]:
    """The events, with one entry in place of each so many that are frames of one file, which have one after another."""
    wanted, frames = iter(counts), list[tuple[Entry, tuple[Array, ...]]]()
    most = next(wanted, 0)
    for event in events:
        if not isinstance(event, Embedded):
            yield event
            continue
        rows = zip(*event.embeddings, strict=True)
        found: list[tuple[Entry, tuple[Array, ...]]] = []
        for entry in event.entries:
            frames.append((entry, () if isinstance(entry, Skipped) else tuple(next(rows))))
            if len(frames) == most:
                found.append(_mean(frames))
                frames, most = [], next(wanted, 0)
        images = [embeddings for _, embeddings in found if embeddings]
        nothing = [embeddings[:0] for embeddings in event.embeddings]
        joined = [np.stack(one) for one in zip(*images, strict=True)] or nothing
        yield Embedded(tuple(entry for entry, _ in found), tuple(joined))


def _mean(frames: Sequence[tuple[Entry, tuple[Array, ...]]]) -> tuple[Entry, tuple[Array, ...]]:
    """The entry of a file, and the mean of the embeddings of its frames that were read, normalised again.

    The file is skipped if none was read, for the reason of the first.
    """
    if len(frames) == 1:
        return frames[0]
    first = frames[0][0]
    item = first.item if isinstance(first, Skipped) else first
    name = item.id.removesuffix("#frame=1")
    item = replace(item, id=name, reference=replace(item.reference, frame=WHOLE))
    read = [embeddings for _, embeddings in frames if embeddings]
    if isinstance(first, Skipped) and not read:
        return replace(first, item=item), ()
    means = [np.stack(one).mean(axis=0) for one in zip(*read, strict=True)]
    return item, tuple(mean / np.maximum(np.linalg.norm(mean), np.float32(1e-12)) for mean in means)
