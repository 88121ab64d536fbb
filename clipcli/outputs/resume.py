"""Resumes an interrupted run: checks that its rows fit, and copies them before the new ones.

The manifest records how the rows were made. If anything that changes rows differs, the run is refused: rows of
different settings never get into one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clipcli.errors import ClipcliError, UsageError
from clipcli.events import Event, ModelKnown, ModelLoaded, RowsReady
from clipcli.files.names import original
from clipcli.outputs.differences import differences, differences_of_models
from clipcli.outputs.earlier import UPDATE, Earlier
from clipcli.records import ImageItem, ModelRecord, Provenance

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Resumed:
    """Rows of an earlier run that were checked to be those of the first `count` images."""

    earlier: Earlier
    count: int

    def start(self, unit: int) -> int:
        """The number of earlier rows to copy: `count` rounded down to a multiple of `unit` images.

        The other images in a batch may change the last digits of an image's scores. So whole batches are labelled
        again; `unit` is a multiple of any batch size that may be chosen.
        """
        return self.count // unit * unit

    def rows(self, count: int) -> Iterator[RowsReady]:
        """The first `count` rows, in chunks. Raises `ClipcliError` if there are fewer by now."""
        rows = islice(self.earlier.read(), count)
        left = count
        while chunk := tuple(islice(rows, _CHUNK)):
            left -= len(chunk)
            yield RowsReady(chunk, earlier=True)
        if left:
            raise ClipcliError(f"{self.earlier.path} was changed while it was read; start again")


def check(earlier: Earlier, items: Sequence[ImageItem], *, provenance: Provenance) -> Resumed:
    """Read all earlier rows, and check that they are the first rows of this run.

    `items` are the images of this run, and `provenance` its settings. Raises `UsageError` if the rows were made with
    other settings, are of other images, or have other kept cells.
    """
    _refuse(earlier, differences(earlier.manifest.provenance, provenance))
    count = 0
    for row in earlier.read():
        if count == len(items):
            raise UsageError(
                f"{earlier.path} has more rows than the {count:,} images of the inputs; give those inputs that it was "
                f"begun with, or {UPDATE}"
            )
        item = items[count]
        if row.path != item.id and original(row.path) != original(item.id):
            raise UsageError(
                f"{earlier.path} is of other inputs: its row {count + 1:,} is {row.path} where {item.id} was expected; "
                f"give those inputs that it was begun with, in their order, or {UPDATE}"
            )
        for name, cell in zip(provenance.kept, row.kept, strict=True):
            cell_now = item.cells.get(name)
            if original(cell or "") != original(cell_now or ""):
                raise UsageError(
                    f"the inputs were changed since {earlier.path} was begun: {name} of {item.id} was '{cell or ''}' "
                    f"and is '{cell_now or ''}'; {UPDATE}"
                )
        count += 1
    return Resumed(earlier, count)


def go_on(resumed: Resumed, events: Iterator[Event], *, start: int) -> Iterator[Event]:
    """The `events` of a run on the images from `start` on, with the first `start` earlier rows before its first rows.

    No row is given before the model is checked. Raises `UsageError` if it differs from the model of the earlier rows.
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
        raise UsageError(f"{earlier.path} was begun otherwise: {'; '.join(different)}; give that again, or {UPDATE}")
