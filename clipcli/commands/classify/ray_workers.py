"""What runs on the machines of a Ray cluster: tasks decode images, and actors that hold the model label them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipcli.commands.classify.labeller import labeller_of
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.encoders import Encoders
from clipcli.encoding.model import Model
from clipcli.events import Event, result_of
from clipcli.images.batches import to_batch
from clipcli.images.decode import prepare_pillow
from clipcli.images.isolate import reader
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.wanted import Wanted
from clipcli.memory.memory import open_memory
from clipcli.notices import Notice
from clipcli.records import Batch, Embedded, Entry, ImageItem, Remembered, Row, Skipped
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.rows import to_rows

# Columns that Ray passes on: by name, with a value a row.
Columns = dict[str, Any]


def decode(columns: Columns, *, wanted: Wanted) -> Columns:
    """Decode the images of `item`, pickled, to `pixels`: uint8 `[H, W, 3]` as bytes, or the reason in `item`.

    `noticed` has the notices about each image.
    """
    prepare_pillow()
    entries, pixels, noticed = [], [], []
    with reader(wanted, watch=Stopwatch()) as read:
        for pickled in columns["item"]:
            item: ImageItem = pickle.loads(pickled)
            told: list[tuple[Notice, str]] = []

            def note(notice: Notice, detail: str = "", told: list[tuple[Notice, str]] = told) -> None:
                told.append((notice, detail))

            found = read(item, note)
            entries.append(pickle.dumps(found if isinstance(found, Skipped) else item))
            pixels.append(b"" if isinstance(found, Skipped) else found[0][0].tobytes())
            noticed.append(pickle.dumps(told))
    return {"place": columns["place"], "item": entries, "pixels": pixels, "noticed": noticed}


@dataclass(frozen=True, slots=True)
class Labelling:
    """What an actor needs to label images: the settings, the model's name, the classifier, and the `kept` columns.

    The whole run has `total` images.
    """

    options: ClassifySettings
    model: str
    classifier: Classifier
    kept: Sequence[str]
    total: int


class Labeller:
    """An actor: encodes and labels the images that were decoded, with a model that is loaded once."""

    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling
        options = labelling.options
        model = Model(labelling.model, options, memory=open_memory(cache=False))
        self._backbone = result_of(model.for_images(labelling.total), show=_unheard)
        self._labeller = result_of(labeller_of(labelling.classifier, options), show=_unheard)
        if model.facts is None:
            raise RuntimeError("a model that is loaded has its facts")
        self._record = model.facts.record(self._backbone.runtime.kind)

    def __call__(self, columns: Columns) -> Columns:
        """The rows of the images, pickled, with the model that made them; in another order."""
        size, total = self._backbone.runtime.batch_size, self._labelling.total
        last = total - total % size
        # Batches are filled up to the number that the batch of an image has in the whole run.
        whole = [n for n, place in enumerate(columns["place"]) if place < last]
        rest = [n for n, place in enumerate(columns["place"]) if place >= last]
        rows: list[Row] = []
        for which, fill in ((whole, size), (rest, total % size)):
            for start in range(0, len(which), size):
                rows += self._rows(self._batch(columns, which[start : start + size]), fill)
        order = [*whole, *rest]
        return {
            "place": [columns["place"][n] for n in order],
            "row": list(map(pickle.dumps, rows)),
            "noticed": [columns["noticed"][n] for n in order],
            "model": [pickle.dumps(self._record)] * len(rows),
        }

    def _rows(self, batch: Batch, fill: int) -> Iterator[Row]:
        encoders = Encoders([self._backbone], watch=Stopwatch(), fill=fill)
        [(_, embeddings)] = encoders.each([(batch,)])
        decided = self._labeller.decide(Embedded(tuple(_entries(batch)), tuple(embeddings)))
        return to_rows(decided, self._labeller.names, kept=self._labelling.kept, paths=self._labeller.paths)

    def _batch(self, columns: Columns, which: Sequence[int]) -> Batch:
        height, width = self._backbone.preprocessing.size
        entries: list[Entry] = [pickle.loads(columns["item"][n]) for n in which]
        found = [columns["pixels"][n] for n in which if columns["pixels"][n]]
        return to_batch(entries, [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in found])


def _entries(batch: Batch) -> Iterator[Entry]:
    for entry in batch.entries:
        if not isinstance(entry, Remembered):
            yield entry


def _unheard(_: Event) -> None:
    """The driver says what there is to say."""
