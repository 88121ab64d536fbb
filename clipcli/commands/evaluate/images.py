"""Embeds the images of all DATA with every model in one pass, and splits them by DATA."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clipcli.commands.evaluate.results import EvaluatedImages, Float32Array, IndexArray
from clipcli.data.labelled import Labelled, LabelledData, labelled_of
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event
from clipcli.records import Entry, Skipped


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One DATA under its name, with the index of the class `[N]` of each of its `N` images that have a label."""

    name: str
    data: LabelledData
    truth: IndexArray


def embed_labelled_sets(
    sets: Sequence[LabelledSet], models: Sequence[Model], *, class_names: Sequence[str]
) -> Generator[Event, None, list[EvaluatedImages]]:
    """Embed the images of all sets with all models.

    Raises `UsageError` if no image of a set can be read.
    """
    items = [labelled.item for labelled_set in sets for labelled in labelled_of(labelled_set.data)]
    entries, embeddings = yield from embed_images(items, models=models)
    sizes = [(labelled_set.data.text, len(labelled_set.truth)) for labelled_set in sets]
    parts = split_by_data(entries, embeddings, sizes=sizes)
    return [
        _evaluated_images(labelled_set, set_entries, set_embeddings, class_names=class_names)
        for labelled_set, (set_entries, set_embeddings) in zip(sets, parts, strict=True)
    ]


def split_by_data(
    entries: Sequence[Entry], embeddings: Sequence[Float32Array], *, sizes: Sequence[tuple[str, int]]
) -> Iterator[tuple[Sequence[Entry], list[Float32Array]]]:
    """Split entries and embeddings by DATA, given the name and the number of images of each.

    Yields the entries of each DATA and, for each model, the embeddings `[M, D]` of its `M` images that could be read.
    Raises `UsageError` if a DATA has none.
    """
    first = row = 0
    for name, size in sizes:
        part = entries[first : first + size]
        skipped = [entry for entry in part if isinstance(entry, Skipped)]
        if len(skipped) == size:
            raise UsageError(f"{name}: no image can be read, such as {skipped[0].item.id}: {skipped[0].reason}")
        end = row + size - len(skipped)
        yield part, [model_embeddings[row:end] for model_embeddings in embeddings]
        first, row = first + size, end


def _evaluated_images(
    labelled_set: LabelledSet,
    entries: Sequence[Entry],
    embeddings: Sequence[Float32Array],
    *,
    class_names: Sequence[str],
) -> EvaluatedImages:
    """The images of a set, from the entries of those with a label and the embeddings of those that could be read."""
    data, truth = labelled_set.data, labelled_set.truth
    was_read = np.array([not isinstance(entry, Skipped) for entry in entries], dtype=np.bool_)
    keys = [labelled.key for labelled in labelled_of(data)]
    classes = iter(truth.tolist())
    return EvaluatedImages(
        name=labelled_set.name,
        entries=tuple(_with_unlabelled(data, entries)),
        class_names=tuple(
            class_names[next(classes)] if isinstance(entry, Labelled) else None for entry in data.entries
        ),
        truth=truth[was_read],
        keys=tuple(key for key, read in zip(keys, was_read, strict=True) if read),
        embeddings=tuple(embeddings),
    )


def _with_unlabelled(data: LabelledData, entries: Sequence[Entry]) -> Iterator[Entry]:
    """All entries of the data in order: those of images with a label, and between them those without one."""
    labelled = iter(entries)
    for entry in data.entries:
        yield next(labelled) if isinstance(entry, Labelled) else entry
