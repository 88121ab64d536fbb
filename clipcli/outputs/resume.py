"""Going on with the rows of a run that was interrupted: that they are those of this one, and what is still to do.

How the rows were made is in their manifest. Where that differs in anything that decides rows nothing is resumed: rows
of two settings never get into one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clipcli.errors import ClipcliError, UsageError
from clipcli.events import Event, ModelKnown, ModelLoaded, RowsReady
from clipcli.outputs.differences import differences, differences_of_models
from clipcli.outputs.earlier import START_ANEW, Earlier
from clipcli.records import ImageItem, ModelRecord, Provenance

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Resumed:
    """Earlier rows that are those of the first `count` images."""

    earlier: Earlier
    count: int

    def start(self, unit: int) -> int:
        """The image to go on from: the first of the `unit` of images that the first missing row is in.

        The other images of its batch may change the last digits of an image's scores. So a batch is labelled as a
        whole, and a `unit` is a multiple of any size of batch that may be chosen.
        """
        return self.count // unit * unit

    def rows(self, count: int) -> Iterator[RowsReady]:
        """The first `count` rows. Raises `ClipcliError` where they are not there any more."""
        rows = islice(self.earlier.read(), count)
        left = count
        while chunk := tuple(islice(rows, _CHUNK)):
            left -= len(chunk)
            yield RowsReady(chunk, earlier=True)
        if left:
            raise ClipcliError(f"{self.earlier.path} was changed while it was read; start again")


def check(earlier: Earlier, items: Sequence[ImageItem], *, provenance: Provenance) -> Resumed:
    """Read all earlier rows. Raises `UsageError` where they are made another way, or are not of these images."""
    _refuse(earlier, differences(earlier.manifest.provenance, provenance))
    count = 0
    for row in earlier.read():
        if count == len(items):
            raise UsageError(
                f"{earlier.path} has more rows than the {count:,} images of the inputs; give those inputs that it was "
                f"begun with, or {START_ANEW}"
            )
        item = items[count]
        if row.path != item.id and _plain(row.path) != _plain(item.id):
            raise UsageError(
                f"{earlier.path} is of other inputs: its row {count + 1:,} is {row.path} where {item.id} was expected; "
                f"give those inputs that it was begun with, in their order, or {START_ANEW}"
            )
        for name, cell in zip(provenance.kept, row.kept, strict=True):
            now = item.cells.get(name)
            if _plain(cell or "") != _plain(now or ""):
                raise UsageError(
                    f"the inputs were changed since {earlier.path} was begun: {name} of {item.id} was '{cell or ''}' "
                    f"and is '{now or ''}'; {START_ANEW}"
                )
        count += 1
    return Resumed(earlier, count)


def go_on(resumed: Resumed, events: Iterator[Event], *, start: int) -> Iterator[Event]:
    """Earlier rows up to `start`, then those of `events`, which label the images from there on.

    No row comes before the model is known to be the same. Raises `UsageError` for another one.
    """
    copied = False
    for event in events:
        if isinstance(event, ModelLoaded | ModelKnown) and event.record is not None:
            _check_model(resumed.earlier, event.record)
        if isinstance(event, RowsReady) and not copied:
            yield from resumed.rows(start)
            copied = True
        yield event


def _check_model(earlier: Earlier, now: ModelRecord) -> None:
    before = earlier.manifest.model
    if before is not None:
        _refuse(earlier, differences_of_models(before, now))


def _refuse(earlier: Earlier, different: Sequence[str]) -> None:
    if different:
        raise UsageError(
            f"{earlier.path} was begun otherwise: {'; '.join(different)}; give that again, or {START_ANEW}"
        )


def _plain(text: str) -> str:
    """Text as Parquet holds it, so that names which are not UTF-8 compare in all formats."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
