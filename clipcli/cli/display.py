"""Shows events on the terminal: text and progress bars on stderr; stdout is for data."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from clipcli.cli.columns import format_size, printable
from clipcli.events import (
    ClassesEncoded,
    Downloading,
    Event,
    ImagesEmbedded,
    InputsFound,
    ModelKnown,
    ModelLoaded,
    Noted,
    ProbeFitted,
    RowsReady,
    ThumbnailsMade,
    TimeSpent,
    Warned,
)


class _Rate(ProgressColumn):
    """Images or classes a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed or task.description.startswith("Download"):
            return Text("")
        return Text(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")


class Display:
    """Shows a pipeline's events; a context manager that leaves the terminal as it was."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
        self._quiet = quiet
        self.verbose = verbose
        self._rows = self._total = 0
        self._tasks: dict[str, TaskID] = {}
        self._status = self.console.status("Loading …")
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", justify="right"),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=self.console,
        )
        # A line under the bars.
        self.detail = Text("")
        # Stdout is not redirected: rows may go there.
        self._view = Live(
            get_renderable=self.__rich__, console=self.console, redirect_stdout=False, redirect_stderr=False
        )
        self.live = sys.stderr.isatty() and not quiet

    def __enter__(self) -> Display:
        if self.live:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live:
            self._status.stop()
            self._view.stop()

    def __rich__(self) -> RenderableType:
        """The bars, and the line under them."""
        return Group(self._progress, self.detail) if self.detail else self._progress

    def say(self, text: str = "", *, style: str = "") -> None:
        """Print a line on stderr, unless quiet."""
        if not self._quiet:
            self.console.print(Text(printable(text)), style=style)

    def show(self, event: Event) -> None:
        """Render one event."""
        match event:
            case Warned(message) | Noted(message):
                warned = isinstance(event, Warned)
                self.say(f"clipcli: {message}" if warned else message, style="yellow" if warned else "")
            case InputsFound(count):
                self._total = count
            case ModelLoaded(name, runtime, details):
                self._status.stop()
                self.say(f"{name} {runtime}")
                if self.verbose:
                    self.say(f"  {details}")
            case ModelKnown(name, precision, details):
                self.say(f"{name}: embeddings in {precision} from the cache")
                if self.verbose:
                    self.say(f"  {details}")
            case _:
                self._show_progress(event)

    def _show_progress(self, event: Event) -> None:
        match event:
            case Downloading(name, done, total):
                self._status.stop()
                self.advance(f"Download {name}", done, total, count=f"{format_size(done)}/{format_size(total or done)}")
            case ClassesEncoded(done, total, cached, prompts):
                note = f"× {prompts:.3g} prompts" + (f", {cached:,} from the cache" if cached else "")
                self.advance("Labels", done, total, count=f"{done:,}/{total:,}", note=note)
            case ImagesEmbedded(done, total):
                self.advance("Photos", done, total, count=f"{done:,}/{total:,}")
            case ThumbnailsMade(done, total):
                self.advance("Page", done, total, count=f"{done:,}/{total:,}")
            case ProbeFitted(done, total, shots):
                note = "all images" if shots is None else f"{shots:,} a class"
                self.advance("Probes", done, total, count=f"{done:,}/{total:,}", note=note)
            case RowsReady():
                self._show_rows(event)
            case TimeSpent():
                if self.verbose:
                    self.say(_where_time_went(event))

    def _show_rows(self, event: RowsReady) -> None:
        self._rows += len(event.rows)
        # The bar, and with it the rate, begins where the earlier run stopped.
        if not event.earlier:
            self.advance("Photos", self._rows, self._total, count=f"{self._rows:,}/{self._total:,}")

    def advance(self, name: str, done: int, total: int | None, *, count: str, note: str = "") -> None:
        """Move the bar of this name on, if there is a terminal."""
        if not self.live:
            return
        self._view.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, count=count, note=note)
        self._progress.update(self._tasks[name], completed=done, total=total, count=count, note=note)


_BOTTLENECKS = {
    "read": "reading the images; a faster disk would help",
    "decode": "decoding; --decode fast, more --workers or more cores would help",
    "copy": "copying to the card",
    "encode": "the model",
    "write": "writing the rows",
}


def _where_time_went(spent: TimeSpent) -> str:
    parts = [
        f"loading and labels {spent.load:.1f}",
        f"reading {spent.read:.1f} and decoding {spent.decode:.1f} (in {spent.workers} threads, beside the model)",
        f"waiting for them {spent.wait:.1f}",
        *([f"copying {spent.copy:.1f}"] if spent.copy else []),
        f"encoding {spent.encode:.1f}",
        f"writing {spent.write:.1f}",
    ]
    return f"  Seconds, of {spent.total:.1f}: {', '.join(parts)}. The bottleneck: {_BOTTLENECKS[spent.bottleneck]}."
