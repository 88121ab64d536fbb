"""What runs on the machines of a Ray cluster: tasks decode images, and actors that hold the model label them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.classify.labeller import labeller_of
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.encoders import Encoders
from clipcli.encoding.model import Model
from clipcli.events import Event, result_of
from clipcli.images.batches import to_batch
from clipcli.images.decode import attempt, decoding, prepare_pillow
from clipcli.images.resize import least_pixels, resizer
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.memory import open_memory
from clipcli.notices import Notice
from clipcli.records import Batch, Content, Embedded, Entry, ImageItem, Remembered, Row, Skipped
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.rows import to_rows

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Preprocessing

# Columns that Ray passes on: by name, with a value a row.
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How images are decoded: the preprocessing of the model, and the settings `decode` and `color`."""

    preprocessing: Preprocessing
    decode: str
    color: str


def decode(columns: Columns, *, how: Decoding) -> Columns:
    """Decode the images of `item`, pickled, to `pixels`: uint8 `[H, W, 3]` as bytes, or the reason in `item`.

    `noticed` has the notices about each image.
    """
    prepare_pillow()
    resize, least = resizer(how.preprocessing), least_pixels([how.preprocessing], decode=how.decode)
    entries, pixels, noticed = [], [], []
    for pickled in columns["item"]:
        item: ImageItem = pickle.loads(pickled)
        found: list[tuple[Notice, str]] = []

        def use(content: Content, found: list[tuple[Notice, str]] = found) -> NDArray[np.uint8]:
            def note(notice: Notice, detail: str = "") -> None:
                found.append((notice, detail))

            with decoding(content, least=least, color=how.color, note=note) as image:
                return np.array(resize(image))

        decoded = attempt(item, use)
        entries.append(pickle.dumps(decoded if isinstance(decoded, Skipped) else item))
        pixels.append(b"" if isinstance(decoded, Skipped) else decoded.tobytes())
        noticed.append(pickle.dumps(found))
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
