"""The decisions of a review: each is on disk before it counts, the last can be taken back, and accuracy follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock

from clipcli.commands.review.photos import Photo, names_by_place
from clipcli.notices import Notices
from clipcli.outputs.correction import Correction, Corrections
from clipcli.outputs.corrections import append_corrections, read_corrections
from clipcli.scoring.intervals import wilson

Said = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of `count` photos drawn at random were right, as a share with its 95 % interval."""

    right: int
    count: int
    low: float
    high: float


class Decisions:
    """What was said about photos, by their number, earlier and now. Several threads may add to it.

    `others` are files of corrections beside the one that is written. With `several` photos may have several labels.
    """

    def __init__(
        self, file: str, photos: Sequence[Photo], said: Mapping[int, Said], *, several: bool, others: Sequence[str] = ()
    ) -> None:
        self.file = file
        self._photos, self._several, self._others = photos, several, others
        self._names = names_by_place(photos)
        self._said = dict(said)
        # How many steps were taken now, and not taken back.
        self._steps = 0
        self._lock = Lock()

    @property
    def said(self) -> dict[int, Said]:
        """The labels that photos were given, by number."""
        with self._lock:
            return dict(self._said)

    @property
    def made(self) -> bool:
        """True if something was said now that was not taken back."""
        return self._steps > 0

    def add(self, said: Mapping[int, Said]) -> None:
        """Write what is said about these photos, as one step: rows of one time. Raises `OutputFailed` and `BadFile`."""
        with self._lock:
            time = _now()
            corrections = [Correction(self._photos[n].row.path, labels, time) for n, labels in said.items()]
            append_corrections(self.file, corrections, several=self._several)
            self._said.update(said)
            self._steps += 1

    def take_back(self) -> dict[int, Said | None]:
        """Take the last step of the file back, also one of an earlier review, by rows that say so.

        Returns what is now said about its photos, `None` for nothing. Raises `OutputFailed` and `BadFile`.
        """
        with self._lock:
            numbers = {photo.row.path: n for n, photo in enumerate(self._photos)}
            # Each as the file has it, and by the path of its row.
            written = read_corrections([self.file], Notices())
            both = zip(written.standing, self._as_called(written).standing, strict=True)
            rows = [(row, called.path) for row, called in both if called.path in numbers]
            last = [(row, path) for row, path in rows if row.reviewed_at == rows[-1][0].reviewed_at]
            if not last:
                return {}
            time = _now()
            undone = [replace(row, reviewed_at=time, undone=True) for row, _ in last]
            append_corrections(self.file, undone, several=self._several)
            self._steps = max(0, self._steps - 1)
            now = self._as_called(read_corrections([*self._others, self.file], Notices())).by_path
            back: dict[int, Said | None] = {}
            for path in dict.fromkeys(path for _, path in last):
                photo = self._photos[numbers[path]]
                by_row = photo.said if photo.is_by_person else None
                back[numbers[path]] = now[path].labels if path in now else by_row
            self._said = {n: labels for n, labels in (self._said | back).items() if labels is not None}
            return back

    def _as_called(self, corrections: Corrections) -> Corrections:
        """The corrections by the paths that rows have, also those that were written in another folder."""
        return corrections.as_called(self._names, Notices())


def _now() -> str:
    """The time in UTC to the microsecond: rows of one time are one step, and writing one takes longer than that."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def is_right(photo: Photo, said: Said) -> bool:
    """True if a photo's row has the labels that a person gave it."""
    return set(photo.said) == set(said)


def accuracy(photos: Sequence[Photo], drawn: Sequence[int], said: Mapping[int, Said]) -> Accuracy | None:
    """The accuracy by the photos that were `drawn` at random, as far as they were reviewed in their order.

    One that was reviewed for its doubt and not in its turn does not count before those ahead of it do, so that they
    remain a sample at random. `None` without any.
    """
    count = next((place for place, n in enumerate(drawn) if n not in said), len(drawn))
    if not count:
        return None
    right = sum(is_right(photos[n], said[n]) for n in drawn[:count])
    return Accuracy(right, count, *wilson(right, count))
