"""All images of an evaluation with labels, decoded once."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clipcli.backbones.backbone import Backbone
from clipcli.commands.evaluate.results import EvaluatedImages, Places
from clipcli.data.labelled import Labelled, LabelledData, labelled_of
from clipcli.encoding.embed_images import embed_images, shares
from clipcli.events import Event
from clipcli.records import Entry, Skipped


@dataclass(frozen=True, slots=True)
class Labels:
    """One DATA with the class `[N]` of each image that has one."""

    name: str
    read: LabelledData
    truth: Places


def embed_labelled(
    all_labels: Sequence[Labels], backbones: Sequence[Backbone], *, names: Sequence[str]
) -> Generator[Event, None, list[EvaluatedImages]]:
    """The images of every DATA, with the embeddings of every model; `names` are those of the classes.

    Raises `UsageError` where no image of a DATA can be read.
    """
    items = [labelled.item for labels in all_labels for labelled in labelled_of(labels.read)]
    entries, embeddings = yield from embed_images(items, backbones=backbones)
    images = []
    parts = shares(entries, embeddings, sizes=[(labels.read.text, len(labels.truth)) for labels in all_labels])
    for labels, (mine, found) in zip(all_labels, parts, strict=True):
        kept = np.array([not isinstance(entry, Skipped) for entry in mine], dtype=np.bool_)
        keys = [labelled.key for labelled in labelled_of(labels.read)]
        places = iter(labels.truth.tolist())
        truths = [names[next(places)] if isinstance(e, Labelled) else None for e in labels.read.entries]
        images.append(
            EvaluatedImages(
                name=labels.name,
                entries=tuple(_in_place(labels.read, mine)),
                truths=tuple(truths),
                truth=labels.truth[kept],
                keys=tuple(key for key, keep in zip(keys, kept, strict=True) if keep),
                embeddings=tuple(found),
            )
        )
    return images


def _in_place(read: LabelledData, decoded: Sequence[Entry]) -> Iterator[Entry]:
    rest = iter(decoded)
    for entry in read.entries:
        yield next(rest) if isinstance(entry, Labelled) else entry
