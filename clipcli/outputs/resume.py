"""Going on with the rows of a run that was interrupted: what they must be, and that the settings are still the same.

An output does not hold the settings that its rows were made with. So some of its last images are labelled again, and
where they come out otherwise nothing is resumed: rows of two settings never get into one file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from clipcli.errors import ClipcliError, UsageError
from clipcli.events import Event, RowsReady, Warned
from clipcli.records import ImageItem, Row
from clipcli.scoring.schema import START_ANEW, rounded

# Other batches, devices or numbers of threads change the last digits, in bf16 the third one.
TOLERANCE = 0.01
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Earlier:
    """The whole rows of an earlier run: the file they are in, and a way to read them from the first on.

    `is_output` says that they are in the output itself; `parts` are files that a run which resumes them supersedes.
    """

    path: Path
    read: Callable[[], Iterator[Row]]
    is_output: bool
    parts: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """Earlier rows that are those of the first `count` images; `last` is the last of them that has a label."""

    earlier: Earlier
    count: int
    last: int | None

    def start(self, unit: int) -> int:
        """Where to go on, a multiple of `unit`: a unit before that of the first missing row, or where a label is."""
        missing = self.count // unit * unit
        return missing if self.last is None else max(0, min(missing - unit, self.last // unit * unit))

    def rows(self, count: int) -> Iterator[RowsReady]:
        """The first `count` rows. Raises `ClipcliError` where they are not there any more."""
        rows = islice(self.earlier.read(), count)
        left = count
        while chunk := tuple(islice(rows, _CHUNK)):
            left -= len(chunk)
            yield RowsReady(chunk, earlier=True)
        if left:
            raise ClipcliError(f"{self.earlier.path} was changed while it was read; start again")


def check(earlier: Earlier, items: Sequence[ImageItem], *, labels: Iterable[str]) -> Resumed:
    """Read all earlier rows, and raise `UsageError` where they are not of these images or not of these labels."""
    known = {_plain(label) for label in labels}
    count, last = 0, None
    for n, row in enumerate(earlier.read()):
        if n == len(items):
            raise UsageError(
                f"{earlier.path} has more rows than the {n:,} images of the inputs; give those inputs that it was "
                f"begun with, or {START_ANEW}"
            )
        if row.path != items[n].id and _plain(row.path) != _plain(items[n].id):
            raise UsageError(
                f"{earlier.path} is of other inputs: its row {n + 1:,} is {row.path} where {items[n].id} was expected; "
                f"give those inputs that it was begun with, in their order, or {START_ANEW}"
            )
        for label in row.labels:
            if _plain(label) not in known:
                raise UsageError(
                    f"{earlier.path} was begun with other labels: '{label}' is none of these; "
                    f"give those labels, or {START_ANEW}"
                )
        count, last = n + 1, n if row.labels else last
    return Resumed(earlier, count, last)


def go_on(resumed: Resumed, events: Iterator[Event], *, start: int, window: int) -> Iterator[Event]:
    """Earlier rows up to `start`, then those of `events`, which label the images from there on.

    New rows of the first `window` images are held back until they have been compared with the earlier ones; raises
    `UsageError` where they are others. So the earlier rows need not be held, and nothing comes out before.
    """
    held: deque[RowsReady] = deque()
    wanted = min(start + window, resumed.count) - start
    count = 0
    while count < wanted:
        event = next(events)
        if isinstance(event, RowsReady):
            held.append(event)
            count += len(event.rows)
        else:
            yield event
    if resumed.last is not None:
        before = islice(resumed.earlier.read(), start, start + wanted)
        yield from _compare(before, chain.from_iterable(event.rows for event in held), path=resumed.earlier.path)
    yield from resumed.rows(start)
    yield from held
    yield from events


def _compare(before: Iterable[Row], now: Iterable[Row], *, path: Path) -> Iterator[Warned]:
    """Warn of small differences. Raises `UsageError` for others, and where there is nothing to compare."""
    compared, most = 0, 0.0
    for old, new in zip(before, now, strict=False):
        if not old.labels or not new.labels:
            continue
        compared += 1
        apart = max(abs(was - rounded(is_)) for was, is_ in zip(old.scores, new.scores, strict=False))
        if tuple(map(_plain, old.labels)) != tuple(map(_plain, new.labels)) or apart > TOLERANCE:
            raise UsageError(
                f"{path} was begun with other labels, another model or other settings: {old.path} was "
                f"{_told(old)} and is {_told(new)} now; give those, or {START_ANEW}"
            )
        most = max(most, apart)
    if not compared:
        raise UsageError(
            f"none of the last images in {path} can be read any more, so nothing shows that the settings are the same; "
            f"{START_ANEW}"
        )
    if most:
        yield Warned(
            f"the last rows of {path} come out a little otherwise now, by up to {most:.1g}: another batch size or "
            "device does that, but so may another list of labels"
        )


def _told(row: Row) -> str:
    return f"'{row.labels[0]}' ({row.scores[0]:.4g})"


def _plain(text: str) -> str:
    """Text as Parquet holds it, so that names which are not UTF-8 compare in all formats."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
