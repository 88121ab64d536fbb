"""The images of an evaluation, embedded by every model, and shared out among the data sets that they come from."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.results import EvaluatedImages, Places
from clipcli.data.labelled.records import Labelled, LabelledData, labelled_of
from clipcli.encoding.embed import embed
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, ImagesEmbedded
from clipcli.records import Embedded, Entry, ImageItem, Skipped

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labels:
    """One DATA with the class `[N]` of each image that has one."""

    name: str
    read: LabelledData
    truth: Places


def embedded(
    items: Sequence[ImageItem], *, models: Sequence[Model]
) -> Generator[Event, None, tuple[tuple[Entry, ...], list[Array]]]:
    """All items, those that cannot be read as `Skipped`, and for each model the embeddings `[M, D]` of the others."""
    entries: list[Entry] = []
    parts: list[list[Array]] = [[] for _ in models]
    for event in embed(items, models=models):
        if not isinstance(event, Embedded):
            yield event
            continue
        entries += event.entries
        for found, embeddings in zip(parts, event.embeddings, strict=True):
            found.append(embeddings)
        yield ImagesEmbedded(len(entries), len(items))
    return tuple(entries), [np.concatenate(found) for found in parts]


def embed_labelled(
    all_labels: Sequence[Labels], models: Sequence[Model], *, names: Sequence[str]
) -> Generator[Event, None, list[EvaluatedImages]]:
    """The images of every DATA, with the embeddings of every model; `names` are those of the classes.

    Raises `UsageError` where no image of a DATA can be read.
    """
    items = [labelled.item for labels in all_labels for labelled in labelled_of(labels.read)]
    entries, embeddings = yield from embedded(items, models=models)
    sizes = [(labels.read.text, len(labels.truth)) for labels in all_labels]
    parts = shares(entries, embeddings, sizes=sizes)
    return [
        _evaluated(labels, of_data, found, names=names)
        for labels, (of_data, found) in zip(all_labels, parts, strict=True)
    ]


def shares(
    entries: Sequence[Entry], embeddings: Sequence[Array], *, sizes: Sequence[tuple[str, int]]
) -> Iterator[tuple[Sequence[Entry], list[Array]]]:
    """Each DATA's entries, and for each model the embeddings `[M, D]` of those that could be read.

    `sizes` are the names of the DATA with their numbers of images. Raises `UsageError` where no image of one could be
    read.
    """
    first = row = 0
    for name, size in sizes:
        of_data = entries[first : first + size]
        skipped = [entry for entry in of_data if isinstance(entry, Skipped)]
        if len(skipped) == size:
            raise UsageError(f"{name}: no image can be read, such as {skipped[0].item.id}: {skipped[0].reason}")
        stop = row + size - len(skipped)
        yield of_data, [one[row:stop] for one in embeddings]
        first, row = first + size, stop


def _evaluated(
    labels: Labels, decoded: Sequence[Entry], embeddings: Sequence[Array], *, names: Sequence[str]
) -> EvaluatedImages:
    kept = np.array([not isinstance(entry, Skipped) for entry in decoded], dtype=np.bool_)
    keys = [labelled.key for labelled in labelled_of(labels.read)]
    places = iter(labels.truth.tolist())
    truths = [names[next(places)] if isinstance(entry, Labelled) else None for entry in labels.read.entries]
    return EvaluatedImages(
        name=labels.name,
        entries=tuple(_in_place(labels.read, decoded)),
        truths=tuple(truths),
        truth=labels.truth[kept],
        keys=tuple(key for key, keep in zip(keys, kept, strict=True) if keep),
        embeddings=tuple(embeddings),
    )


def _in_place(read: LabelledData, decoded: Sequence[Entry]) -> Iterator[Entry]:
    rest = iter(decoded)
    for entry in read.entries:
        yield next(rest) if isinstance(entry, Labelled) else entry
