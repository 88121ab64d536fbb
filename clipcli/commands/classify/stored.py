"""Images whose embeddings are in a file, for `--embeddings`: labelled as from the images, and none is decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from clipcli.commands.classify.settings import Labelling, check_images
from clipcli.encoding.model import Model
from clipcli.errors import BadFile, WeightsMismatch
from clipcli.events import Event
from clipcli.outputs.embeddings import IMAGES, Embeddings
from clipcli.records import Embedded, Entry, ImageItem, Reference, Skipped

# As many are passed on together as from the cache.
_PART = 1024


class Stored:
    """The images of a file of embeddings, in the order of its inputs, those that could not be read among them."""

    def __init__(self, found: Embeddings) -> None:
        self._embeddings, self.model = found.embeddings, found.model
        bad = {one.place: one for one in found.skipped}
        ids = iter(found.ids)
        self.items: list[ImageItem] = []
        # By identity: several images may have one path.
        self._reasons: dict[int, str] = {}
        self._rows: dict[int, int] = {}
        for place in range(len(found.ids) + len(bad)):
            path = bad[place].id if place in bad else next(ids)
            item = ImageItem(path, Reference("file", path))
            self.items.append(item)
            if place in bad:
                self._reasons[id(item)] = bad[place].reason
            else:
                self._rows[id(item)] = len(self._rows)

    def embed(self, items: Sequence[ImageItem]) -> Iterator[Embedded]:
        """The embeddings of some of `items`, in parts."""
        for start in range(0, len(items), _PART):
            part = items[start : start + _PART]
            entries: list[Entry] = [
                Skipped(item, self._reasons[id(item)]) if id(item) in self._reasons else item for item in part
            ]
            rows = [self._rows[id(item)] for item in part if id(item) in self._rows]
            yield Embedded(tuple(entries), (self._embeddings[rows],))


def read_stored(options: Labelling) -> Stored | None:
    """The images of `--embeddings`; `None` if images were given. Raises as `check_images`, and `BadFile`."""
    if options.embeddings is None:
        return None
    check_images(options)
    found = Embeddings.load(options.embeddings)
    if found.of != IMAGES:
        raise BadFile(f"{options.embeddings} holds embeddings of {found.of}; give those of images")
    return Stored(found)


def check_stored(stored: Stored, *, model: Model) -> Generator[Event, None, None]:
    """Check that the embeddings are those of this model. Raises `WeightsMismatch`, and as `Model.identity`."""
    fingerprint, _ = yield from model.identity()
    if fingerprint != stored.model.fingerprint:
        raise WeightsMismatch(
            f"the embeddings were made with {stored.model.name} and not with these weights of {model.name}; give"
            f" --model {stored.model.name}, or embed the images anew"
        )
