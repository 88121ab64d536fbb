"""The decisions of a review: each is on disk before it counts, the last can be taken back, and accuracy follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from clipcli.commands.review.photos import Photo
from clipcli.files.manifest import now
from clipcli.outputs.corrections import Correction, append_corrections
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

    With `several` photos may have several labels.
    """

    def __init__(self, file: str, photos: Sequence[Photo], said: Mapping[int, Said], *, several: bool) -> None:
        self.file = file
        self._photos, self._several = photos, several
        self._said = dict(said)
        # What each step changed, and the size that the file had before it.
        self._steps: list[tuple[int, dict[int, Said | None]]] = []
        self._lock = Lock()

    @property
    def said(self) -> dict[int, Said]:
        """The labels that photos were given, by number."""
        with self._lock:
            return dict(self._said)

    @property
    def made(self) -> int:
        """How many steps were taken now, and not taken back."""
        return len(self._steps)

    def add(self, said: Mapping[int, Said]) -> None:
        """Write what is said about these photos, as one step. Raises `OutputFailed` and `BadFile`."""
        time = now()
        corrections = [Correction(self._photos[n].row.path, labels, time) for n, labels in said.items()]
        with self._lock:
            before: dict[int, Said | None] = {n: self._said.get(n) for n in said}
            self._steps.append((append_corrections(self.file, corrections, several=self._several), before))
            self._said.update(said)

    def take_back(self) -> dict[int, Said | None]:
        """Take the last step back, also from the file; returns what is now said about its photos, `None` for nothing.

        Raises `OutputFailed`.
        """
        with self._lock:
            if not self._steps:
                return {}
            size, before = self._steps[-1]
            append_corrections(self.file, [], several=self._several, cut_to=size)
            self._steps.pop()
            for n, labels in before.items():
                if labels is None:
                    del self._said[n]
                else:
                    self._said[n] = labels
            return before


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
