"""The summary of `clipcli classify`: labels with count, share and mean score, what to look at, and how fast it went."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipcli.cli import clock, exit_codes
from clipcli.cli.columns import printable
from clipcli.cli.group_summary import group_table
from clipcli.cli.label_table import LABEL_WIDTH, fitted, labels_an_image, share, table
from clipcli.commands.classify.group_counts import GroupCounts
from clipcli.commands.classify.tally import Tally
from clipcli.events import (
    ClassesEncoded,
    Event,
    InputsFound,
    ModelKnown,
    ModelLoaded,
    Noted,
    Refined,
    RowsPlanned,
    RowsReady,
    Updated,
)
from clipcli.outputs import STDOUT
from clipcli.outputs.remote import local_path, waits

if TYPE_CHECKING:
    from rich.text import Text

    from clipcli.cli.display import Display

_DONE_BY_UPDATE = ("kept", "new", "moved", "changed", "dropped", "corrected", "relabelled")
# A narrower terminal has no room for a label and a file in one line.
_NARROW = 60


def answers_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What summaries and pages must know of the labels that rows have; `settings` are as a manifest holds them."""
    unknown = settings["unknown_label"] if settings.get("unknown") else None
    # The first and the second score of a row are then of two kinds.
    by_score = bool(settings.get("unknown")) or settings.get("back_off") is not None
    return {"unknown": unknown, "several": bool(settings.get("multi_label")), "by_score": by_score}


class Summary:
    """The counts and times of a run that writes to `output`, from its events.

    `next_command` are the parts of the command that is proposed at the end. `unknown` is the label of images of none
    of the classes, where they are looked for. `total` is the number of images, `earlier` the number of them with a row
    of an earlier run. With `is_update`, an interrupted run leaves the output as it was. The caller sets `interrupted`,
    and `reader_gone` where the reader of standard output had enough.
    """

    def __init__(
        self,
        output: str,
        *,
        next_command: Sequence[str] = (),
        unknown: str | None = None,
        several: bool = False,
        by_score: bool = False,
        is_update: bool = False,
    ) -> None:
        self.output = "standard output" if output == STDOUT else output
        self._next_command, self._unknown = next_command, unknown
        self.total = self.earlier = 0
        self.interrupted = self.reader_gone = False
        self.is_update = is_update
        self.tally = Tally(several=several, by_score=by_score)
        self._left_out: tuple[str, ...] = ()
        self._refined: Refined | None = None
        self.updated: Updated | None = None
        self._scores: str | None = None
        self._copied: float | None = None
        self._encoded = 0
        self._encoding_from = self._ended = time.perf_counter()

    def add(self, event: Event) -> None:
        """Count the images or rows of an event, and note the time from which on images are encoded."""
        if isinstance(event, InputsFound):
            self.total, self.earlier, self._left_out = event.count, event.earlier, event.left_out
        if isinstance(event, RowsPlanned):
            self._scores = event.provenance.scores
        if isinstance(event, ModelLoaded | ModelKnown | ClassesEncoded | Noted):
            self._encoding_from = time.perf_counter()
        if isinstance(event, Refined):
            self._refined = event
        if isinstance(event, Updated):
            self.updated = event
        if isinstance(event, RowsPlanned):
            self.tally.groups = GroupCounts.of(event.provenance)
        if isinstance(event, RowsReady) and not event.missing:
            self._add_rows(event)
        self._ended = time.perf_counter()

    def _add_rows(self, event: RowsReady) -> None:
        before = self.tally.rows - self.tally.skipped
        self.tally.add(event.rows)
        if event.earlier:
            # The time to copy earlier rows does not count for the speed.
            now = time.perf_counter()
            self._encoding_from += now - (self._copied or now)
            self._copied = now
        else:
            self._encoded += self.tally.rows - self.tally.skipped - before

    def is_complete(self) -> bool:
        """True if an earlier run has left nothing to do."""
        return 0 < self.earlier == self.total

    def of_update(self) -> str:
        """What an update did, in a line."""
        counts = [f"{getattr(self.updated, name, 0):,} {name}" for name in _DONE_BY_UPDATE]
        if self.updated is not None and self.updated.missing:
            counts.append(f"{self.updated.missing:,} missing")
        return f"{self.output}: {', '.join(counts)}."

    def did_something(self, *, since: Summary) -> bool:
        """True if an update changed rows, or the one before knew of others that are missing."""
        now, before = self.updated, since.updated
        if now is None or before is None:
            return now is not before
        changed = now.new or now.moved or now.changed or now.dropped or now.corrected or now.relabelled
        return bool(changed) or now.missing != before.missing

    def exit_code(self) -> int:
        """The exit code of the command, by whether it was interrupted or images were skipped."""
        if self.interrupted:
            return exit_codes.INTERRUPTED
        if self.reader_gone:
            return exit_codes.DONE
        return exit_codes.SOME_SKIPPED if self.tally.skipped else exit_codes.DONE

    def show(self, display: Display) -> None:
        """Print the labels, the skipped images, the rows in doubt, how fast it went, and what to type next."""
        seconds, rows = self._ended - self._encoding_from, self.tally.rows
        if self.reader_gone:
            display.say("Stopped: the reader of standard output had enough.")
            return
        if self.interrupted and rows < self.earlier:
            display.say(f"Stopped before a new row; the {self.earlier:,} earlier rows are where they were.")
            return
        self.show_counts(display)
        if self.interrupted:
            output = local_path(self.output) if waits(self.output) else self.output
            where = f"their rows are in {output}" if rows else "nothing was written"
            where = f"; {self.output} is as it was" if self.is_update else f"; {where}"
            display.say(f"Stopped after {rows:,} of {self.total:,} images{where}.")
            return
        # One class alone scores 1 everywhere.
        if self.tally.labelled and self.tally.in_doubt[0][0] < 1:
            self._show_doubts(display)
        display.say()
        display.say(self._outcome(seconds), style="" if self.tally.labelled else "red")
        if self.tally.labelled and self._next_command:
            self._show_next_command(display)

    def show_counts(self, display: Display) -> None:
        """Print the labels and the skipped images, if there are rows."""
        if not self.tally.rows:
            return
        display.say()
        for line in (*table(self.tally, display.width), *labels_an_image(self.tally, display.width)):
            display.say(line)
        self._show_groups(display)
        for said in self._below_the_table():
            for line in fitted(said, display.width):
                display.say(line)

    def _below_the_table(self) -> Iterator[str]:
        if self._unknown is not None and self.tally.labelled:
            yield self.tally.of_none(self._unknown, noun="image")
        yield from self._left_out
        yield from _of_refining(self._refined)
        if self._scores is not None:
            yield f"The classifier is {self._scores}."

    def _outcome(self, seconds: float) -> str:
        rows = self.tally.rows
        if self.updated is not None:
            return f"{self.of_update()[:-1]}, in {clock.seconds():.1f} s."
        if not rows and not self.total:
            return f"{self.output}: no image is in this shard; clipcli merge takes the empty file as well."
        if not self.tally.labelled and self.tally.without:
            return f"{self.output}: {rows:,} rows and not one label; --multi-label-at with a lower score gives more."
        if not self.tally.labelled:
            return (
                f"{self.output}: {rows:,} rows and not one label, as no image could be read; the column error says why."
            )
        if self.is_complete():
            return f"{self.output}: complete, an earlier run had labelled all {rows:,} images."
        speed = f", {self._encoded / seconds:,.1f} images/s once loaded" if self._encoded else ""
        return f"{self.output}: {rows:,} rows in {clock.seconds():.1f} s{speed}."

    def _show_doubts(self, display: Display) -> None:
        has_seconds = not self.tally.by_score and len(self.tally.in_doubt[0][2].scores) > 1
        why = "their two best scores are closest" if has_seconds else "their scores are lowest"
        if self.tally.several:
            why = "one of their labels is only just over its threshold"
        display.say()
        display.say(f"Look at these first, {why}:")
        for line in _doubts(self.tally, display.width):
            display.say(line)

    def _show_groups(self, display: Display) -> None:
        lines = list(group_table(self.tally.groups, self.tally.rows, display.width))
        if lines:
            display.say()
        for line in lines:
            display.say(line)

    def _show_next_command(self, display: Display) -> None:
        from rich.text import Text

        from clipcli.cli.fit import command_lines

        ways = {
            "Next, look through the doubtful:": ["clipcli review", shlex.quote(self.output)],
            "Or correct wrong labels in it, and ask how many were right:": self._next_command,
        }
        for what, command in ways.items():
            display.say(what)
            for line in command_lines(command, display.width, indent="  "):
                display.say(Text(printable(line), style="green", no_wrap=True))


def _of_refining(refined: Refined | None) -> Iterator[str]:
    """What refining came to, in a line."""
    if refined is not None and refined.reason is not None:
        yield f"not refined: {refined.reason}"
    elif refined is not None:
        changed = "1 label" if refined.changed == 1 else f"{refined.changed:,} labels"
        yield f"refined on {refined.images:,} images: {changed} changed ({share(refined.changed, refined.images)})"


def _doubts(tally: Tally, width: int | None) -> Iterator[Text]:
    """Each row in doubt: score, label and file, and where there is room the second label."""
    from rich.cells import cell_len
    from rich.text import Text

    from clipcli.cli.fit import cut_start, padded

    rows = [row for _, _, row in tally.in_doubt]
    # Of several labels the last is the one in doubt.
    which = slice(-1, None) if tally.several else slice(2)
    said = [
        [f"{score:.3f} {printable(label)}" for label, score in zip(row.labels[which], row.scores[which], strict=True)]
        for row in rows
    ]
    best = [", ".join(both) for both in said]
    if width is not None and max(map(cell_len, best)) > width // 2:
        best = [both[0] for both in said]
    is_narrow = width is not None and width < _NARROW
    above = "\n " if is_narrow else ""
    most = LABEL_WIDTH if width is None else width - 1 if is_narrow else width // 2
    column = min(max(map(cell_len, best)), most)
    for text, row in zip(best, rows, strict=True):
        path = printable(row.path)
        file = path if width is None else cut_start(path, width - 4 if is_narrow else width - column - 3)
        yield Text(f" {padded(text, column)}", style="yellow", no_wrap=True).append(f"{above}  {file}", style="default")
