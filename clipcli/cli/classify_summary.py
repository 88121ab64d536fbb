"""The summary of `clipcli classify`: labels with count, share and mean score, what to look at, and how fast it went."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from clipcli.cli import clock, exit_codes
from clipcli.cli.columns import printable
from clipcli.commands.classify.tally import Labelled, Tally
from clipcli.events import ClassesEncoded, Event, InputsFound, ModelKnown, ModelLoaded, Noted, Refined, RowsReady
from clipcli.outputs import STDOUT

if TYPE_CHECKING:
    from rich.text import Text

    from clipcli.cli.display import Display

_LABELS_SHOWN = 20
_REASONS_SHOWN = 3
# In cells.
_BAR_WIDTH = 28
_LEAST_BAR = 4
_LABEL_WIDTH = 40
_LEAST_LABEL = 8
# A narrower terminal has no room for a label and a file in one line.
_NARROW = 60


class Summary:
    """The counts and times of a run that writes to `output`, from its events.

    `next_command` are the parts of the command that is proposed at the end. `total` is the number of images, `earlier`
    the number of them with a row of an earlier run. The caller sets `interrupted`, and `reader_gone` where the reader
    of standard output had enough.
    """

    def __init__(self, output: str, *, next_command: Sequence[str] = ()) -> None:
        self.output = "standard output" if output == STDOUT else output
        self._next_command = next_command
        self.total = self.earlier = 0
        self.interrupted = self.reader_gone = False
        self.tally = Tally()
        self._left_out: tuple[str, ...] = ()
        self._refined: Refined | None = None
        self._copied: float | None = None
        self._encoded = 0
        self._encoding_from = self._ended = time.perf_counter()

    def add(self, event: Event) -> None:
        """Count the images or rows of an event, and note the time from which on images are encoded."""
        if isinstance(event, InputsFound):
            self.total, self.earlier, self._left_out = event.count, event.earlier, event.left_out
        if isinstance(event, ModelLoaded | ModelKnown | ClassesEncoded | Noted):
            self._encoding_from = time.perf_counter()
        if isinstance(event, Refined):
            self._refined = event
        if isinstance(event, RowsReady):
            self._add_rows(event)
        self._ended = time.perf_counter()

    def _add_rows(self, event: RowsReady) -> None:
        before = self.tally.labelled
        self.tally.add(event.rows)
        if event.earlier:
            # The time to copy earlier rows does not count for the speed.
            now = time.perf_counter()
            self._encoding_from += now - (self._copied or now)
            self._copied = now
        else:
            self._encoded += self.tally.labelled - before

    def is_complete(self) -> bool:
        """True if an earlier run has left nothing to do."""
        return 0 < self.earlier == self.total

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
        if rows:
            display.say()
            for line in table(self.tally, display.width):
                display.say(line)
            for said in (*self._left_out, *_of_refining(self._refined)):
                for line in _fitted(said, display.width):
                    display.say(line)
        if self.interrupted:
            where = f"; their rows are in {self.output}" if rows else "; nothing was written"
            display.say(f"Stopped after {rows:,} of {self.total:,} images{where}.")
            return
        # One class alone scores 1 everywhere.
        if self.tally.labelled and self.tally.in_doubt[0][0] < 1:
            self._show_doubts(display)
        display.say()
        display.say(self._outcome(seconds), style="" if self.tally.labelled else "red")
        if self.tally.labelled and self._next_command:
            self._show_next_command(display)

    def _outcome(self, seconds: float) -> str:
        rows = self.tally.rows
        if not self.tally.labelled:
            return (
                f"{self.output}: {rows:,} rows and not one label, as no image could be read; the column error says why."
            )
        if self.is_complete():
            return f"{self.output}: complete, an earlier run had labelled all {rows:,} images."
        speed = f", {self._encoded / seconds:,.1f} images/s once loaded" if self._encoded else ""
        return f"{self.output}: {rows:,} rows in {clock.seconds():.1f} s{speed}."

    def _show_doubts(self, display: Display) -> None:
        has_seconds = len(self.tally.in_doubt[0][2].scores) > 1
        why = "their two best scores are closest" if has_seconds else "their scores are lowest"
        display.say()
        display.say(f"Look at these first, {why}:")
        for line in _doubts(self.tally, display.width):
            display.say(line)

    def _show_next_command(self, display: Display) -> None:
        from rich.text import Text

        from clipcli.cli.fit import command_lines

        display.say("Next, correct wrong labels in it, and ask how many were right:")
        for line in command_lines(self._next_command, display.width, indent="  "):
            display.say(Text(printable(line), style="green", no_wrap=True))


def table(tally: Tally, width: int | None) -> Iterator[Text]:
    """A line for each of the most frequent labels, with count, share, mean score and a bar, then the skipped images."""
    from rich.cells import cell_len
    from rich.text import Text

    from clipcli.cli.fit import padded

    by_count = tally.most_frequent()
    shown = [(printable(label), counts) for label, counts in by_count[:_LABELS_SHOWN]]
    heads = ["images", "share", "mean score"]
    figures = [_figures(counts, tally.rows) for _, counts in shown]
    if tally.skipped:
        figures.append([f"{tally.skipped:,}", _share(tally.skipped, tally.rows), ""])
    room = None if width is None else width - 1
    while room is not None and len(heads) > 1 and _LEAST_LABEL + _width_of(heads, figures) > room:
        heads = heads[:-1]
        figures = [some[: len(heads)] for some in figures]
    widths = [max(map(len, column)) for column in zip(heads, *figures, strict=True)]
    taken = _width_of(heads, figures)
    longest = max(cell_len(label) for label in ("label", "skipped", *(label for label, _ in shown)))
    label_width = min(longest, _LABEL_WIDTH, *([] if room is None else [max(room - taken, 1)]))
    bar = _BAR_WIDTH if room is None else min(_BAR_WIDTH, room - label_width - taken - 2)

    def line(label: str, some: Sequence[str], style: str = "") -> Text:
        cells = (f"  {figure:>{size}}" for figure, size in zip(some, widths, strict=True))
        return Text(f" {padded(label, label_width)}{''.join(cells)}".rstrip(), style=style, no_wrap=True)

    if shown:
        yield line("label", heads, "dim")
    for (label, counts), some in zip(shown, figures, strict=False):
        drawn = "█" * max(1, round(bar * counts.count / shown[0][1].count)) if bar >= _LEAST_BAR else ""
        yield line(label, some).append(f"  {drawn}" if drawn else "", style="cyan")
    more = by_count[_LABELS_SHOWN:]
    if more:
        yield from _fitted(f" … and {len(more):,} more labels of {sum(c.count for _, c in more):,} images", width)
    if tally.skipped:
        yield line("skipped", figures[-1], "red")
        for said in _reasons(tally):
            yield from _fitted(f"   {said}", width, style="red")


def _figures(counts: Labelled, rows: int) -> list[str]:
    return [f"{counts.count:,}", _share(counts.count, rows), f"{counts.mean:.3f}"]


def _share(count: int, rows: int) -> str:
    return f"{count / rows:.1%}".replace("%", " %")


def _width_of(heads: Sequence[str], figures: Sequence[Sequence[str]]) -> int:
    return sum(2 + max(map(len, column)) for column in zip(heads, *figures, strict=True))


def _of_refining(refined: Refined | None) -> Iterator[str]:
    """What refining came to, in a line."""
    if refined is not None and refined.reason is not None:
        yield f"not refined: {refined.reason}"
    elif refined is not None:
        changed = "1 label" if refined.changed == 1 else f"{refined.changed:,} labels"
        yield f"refined on {refined.images:,} images: {changed} changed ({_share(refined.changed, refined.images)})"


def _reasons(tally: Tally) -> Iterator[str]:
    """The most frequent reasons why images were skipped, each with an example."""
    most = tally.reasons.most_common(_REASONS_SHOWN)
    for reason, count in most:
        such_as = f"{count:,} such as " if count > 1 else ""
        yield f"{such_as}{tally.firsts[reason]}: {reason}"
    more = tally.skipped - sum(count for _, count in most)
    if more:
        yield f"{more:,} more for other reasons"


def _doubts(tally: Tally, width: int | None) -> Iterator[Text]:
    """Each row in doubt: score, label and file, and where there is room the second label."""
    from rich.cells import cell_len
    from rich.text import Text

    from clipcli.cli.fit import cut_start, padded

    rows = [row for _, _, row in tally.in_doubt]
    said = [[f"{row.scores[n]:.3f} {printable(row.labels[n])}" for n in range(min(2, len(row.scores)))] for row in rows]
    best = [", ".join(both) for both in said]
    if width is not None and max(map(cell_len, best)) > width // 2:
        best = [both[0] for both in said]
    is_narrow = width is not None and width < _NARROW
    above = "\n " if is_narrow else ""
    most = _LABEL_WIDTH if width is None else width - 1 if is_narrow else width // 2
    column = min(max(map(cell_len, best)), most)
    for text, row in zip(best, rows, strict=True):
        path = printable(row.path)
        file = path if width is None else cut_start(path, width - 4 if is_narrow else width - column - 3)
        yield Text(f" {padded(text, column)}", style="yellow", no_wrap=True).append(f"{above}  {file}", style="default")


def _fitted(text: str, width: int | None, *, style: str = "") -> Iterator[Text]:
    from rich.text import Text

    from clipcli.cli.fit import wrap

    text = printable(text)
    for line in [text] if width is None else wrap(text, width, more="  "):
        yield Text(line, style=style, no_wrap=True)
