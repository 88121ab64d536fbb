"""The summary of `clipcli classify`: counts per label, skipped images and speed."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.columns import printable
from clipcli.events import ClassesEncoded, Event, InputsFound, ModelKnown, ModelLoaded, Noted, RowsReady
from clipcli.outputs import STDOUT
from clipcli.records import Row

if TYPE_CHECKING:
    from clipcli.cli.display import Display

_LABELS_SHOWN = 20
_SKIPPED_SHOWN = 3
# In characters.
_BAR_WIDTH = 28
_LABEL_WIDTH = 40


class Summary:
    """The counts and times of a run that writes to `output`, from its events.

    `total` is the number of images, `earlier` the number of them with a row of an earlier run, and `rows` the number of
    rows until now. The caller sets `interrupted`.
    """

    def __init__(self, output: str) -> None:
        self.output = "standard output" if output == STDOUT else output
        self.total = self.rows = self.earlier = 0
        self.interrupted = False
        self._counts: Counter[str] = Counter()
        self._first_skipped: list[Row] = []
        self._skipped = self._labelled = 0
        self._copied: float | None = None
        self._started = self._encoding_from = self._ended = time.perf_counter()

    def add(self, event: Event) -> None:
        """Count the images or rows of an event, and note the time from which on images are encoded."""
        if isinstance(event, InputsFound):
            self.total, self.earlier = event.count, event.earlier
        if isinstance(event, ModelLoaded | ModelKnown | ClassesEncoded | Noted):
            self._encoding_from = time.perf_counter()
        if isinstance(event, RowsReady):
            self._add_rows(event)
        self._ended = time.perf_counter()

    def _add_rows(self, event: RowsReady) -> None:
        rows = event.rows
        self.rows += len(rows)
        if event.earlier:
            # The time to copy earlier rows does not count for the speed.
            now = time.perf_counter()
            self._encoding_from += now - (self._copied or now)
            self._copied = now
        else:
            self._labelled += len(rows)
        self._counts.update(row.labels[0] for row in rows if row.labels)
        skipped = [row for row in rows if row.error is not None]
        self._skipped += len(skipped)
        self._first_skipped += skipped[: _SKIPPED_SHOWN - len(self._first_skipped)]

    def is_complete(self) -> bool:
        """True if an earlier run has left nothing to do."""
        return 0 < self.earlier == self.total

    def exit_code(self) -> int:
        """The exit code of the command, by whether it was interrupted or images were skipped."""
        if self.interrupted:
            return exit_codes.INTERRUPTED
        return exit_codes.SOME_SKIPPED if self._skipped else exit_codes.DONE

    def show(self, display: Display) -> None:
        """Print counts per label, skipped images, and how fast it went."""
        if self.interrupted and self.rows < self.earlier:
            display.say(f"Stopped before a new row; the {self.earlier:,} earlier rows are where they were.")
            return
        if self.rows:
            display.say()
            for line in self._table():
                display.say(line)
        if self.interrupted:
            where = f"; their rows are in {self.output}" if self.rows else "; nothing was written"
            display.say(f"Stopped after {self.rows:,} of {self.total:,} images{where}.")
            return
        if self.is_complete():
            display.say(f"{self.output}: complete, an earlier run had labelled all {self.rows:,} images.")
            return
        rate = self._labelled / (self._ended - self._encoding_from)
        took = f"{self._ended - self._started:.1f} s, {rate:,.1f} images/s once loaded"
        display.say(f"{self.output}: {self.rows:,} rows in {took}. Look closer: sort by score, lowest first.")

    def _table(self) -> list[str]:
        """A line for each of the most frequent labels, with a bar, and one for the skipped images."""
        from rich.cells import cell_len

        shown = [(printable(label), count) for label, count in self._counts.most_common(_LABELS_SHOWN)]
        width = max((cell_len(label) for label, _ in shown), default=0)
        width = min(max(width, len("skipped")), _LABEL_WIDTH)
        most = shown[0][1] if shown else 1
        lines = [
            f" {_fit(label, width)}  {count:>7,}  {'█' * max(1, round(_BAR_WIDTH * count / most))}"
            for label, count in shown
        ]
        if len(self._counts) > len(shown):
            lines.append(f" … and {len(self._counts) - len(shown):,} more labels")
        if self._skipped:
            lines.append(f" {'skipped':{width}}  {self._skipped:>7,}  {self._reasons()}")
        return lines

    def _reasons(self) -> str:
        first = "; ".join(f"{row.path}: {row.error}" for row in self._first_skipped)
        more = self._skipped - len(self._first_skipped)
        return f"{first}; and {more:,} more" if more > 0 else first


def _fit(label: str, width: int) -> str:
    """Pad or cut the label to exactly `width` cells of the terminal; a cut one ends in an ellipsis."""
    from rich.cells import cell_len, set_cell_size

    return set_cell_size(label, width) if cell_len(label) <= width else set_cell_size(label, width - 1) + "…"
