"""Pairs whose image cannot be read: collected over all processes, and too many of them end the run."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from clipcli.commands.train.processes import Processes
from clipcli.errors import ClipcliError
from clipcli.records import Skipped

Row = tuple[str, str]


def as_rows(skipped: Iterable[Skipped]) -> list[Row]:
    """Skipped images as rows of path and reason."""
    return [(s.item.id, s.reason) for s in skipped]


def too_many_skipped(rows: Collection[Row], *, total: int, most: float) -> ClipcliError | None:
    """The error to raise where more than the share `most` of all `total` pairs was skipped; `None` for fewer."""
    if len(rows) <= most * total:
        return None
    path, reason = next(iter(rows))
    return ClipcliError(
        f"{len(rows):,} of {total:,} pairs were skipped, more than {most:.0%}, such as {path}: {reason}; "
        "mend the data, or allow it with --max-skipped"
    )


class SkippedPairs:
    """The pairs that a run has skipped, in all its processes.

    `reasons` holds the reason by the image's path; it is added to in place. `total` counts all pairs of the run, and
    `most` is the share of them that may be skipped.
    """

    def __init__(self, reasons: dict[str, str], *, total: int, most: float, processes: Processes) -> None:
        self._reasons, self._total, self._most, self._processes = reasons, total, most, processes
        self._not_shared: list[Row] = []

    def add(self, skipped: Iterable[Skipped]) -> None:
        """Note images that this process skipped; they count from the next `share` on."""
        self._not_shared += as_rows(skipped)

    def share(self) -> None:
        """Put together what all processes noted; all of them must call it."""
        for rows in self._processes.gather_objects(self._not_shared):
            self._reasons.update(rows)
        self._not_shared = []

    def error(self) -> ClipcliError | None:
        """The error to raise where too many pairs were skipped."""
        return too_many_skipped(self._reasons.items(), total=self._total, most=self._most)
