"""Shows events on the terminal: text and progress bars on stderr; stdout is for data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from clipcli.cli import clock
from clipcli.cli.bars import Bars
from clipcli.cli.columns import format_size, printable
from clipcli.cli.fit import pack, wrap
from clipcli.cli.signals import check_stops
from clipcli.cli.where_time_went import where_time_went
from clipcli.events import (
    ClassesEncoded,
    Downloading,
    Event,
    FilesActedOn,
    ImagesCompared,
    ImagesEmbedded,
    ImagesGathered,
    InputsFound,
    Later,
    Loading,
    ModelKnown,
    ModelLoaded,
    Noted,
    PageServed,
    PhotosReviewed,
    ProbeFitted,
    RowsReady,
    ThumbnailsMade,
    TimeSpent,
    Warned,
)

# The names of bars that count images, by the event that moves them.
_BARS: dict[type[Event], str] = {ImagesEmbedded: "Photos", ImagesCompared: "Compared", ThumbnailsMade: "Page"}


class Display:
    """Shows a pipeline's events; a context manager that leaves the terminal as it was.

    At its end the work is done that was to wait until the output is there, unless there was an error.

    On a terminal no line is longer than it is wide. Elsewhere a message is one line, however long.
    """

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
        self._quiet = quiet
        self.verbose = verbose
        self._rows = self._total = 0
        self._status = self.console.status("Looking for images …")
        self._bars = Bars(self.console)
        # What the lines under the bars say, in parts that are not broken.
        self.detail: Sequence[str] = ()
        self._spent: tuple[TimeSpent, float] | None = None
        self._later: list[Later] = []
        # Stdout is not redirected: rows may go there.
        self._view = Live(
            get_renderable=self.__rich__, console=self.console, redirect_stdout=False, redirect_stderr=False
        )
        self._is_terminal = sys.stderr.isatty()
        self.live = self._is_terminal and not quiet

    @property
    def width(self) -> int | None:
        """The width of the terminal in cells; `None` where there is none, and so no limit."""
        return self.console.width if self._is_terminal else None

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
        if self.verbose and self._spent is not None:
            spent, at = self._spent
            total = clock.seconds()
            spent = replace(spent, start=at - spent.total, finish=total - at, total=total)
            self.say(f"  {where_time_went(spent)}")
        if kind is None:
            self.do_what_is_left()

    def do_what_is_left(self) -> None:
        """Do the work that was to wait until the output is there, and show its events."""
        later, self._later = self._later, []
        for one in later:
            for event in one.work():
                self.show(event)

    def __rich__(self) -> RenderableType:
        """The bars, and the lines under them."""
        if not self.detail:
            return self._bars
        under = pack(self.detail, self.width, indent="  ")
        return Group(self._bars, *(Text(line, style="dim", no_wrap=True) for line in under))

    def say(self, text: str | Text = "", *, style: str = "") -> None:
        """Print a text on stderr, unless quiet; one with styles of its own is a line that fits already."""
        if self._quiet:
            return
        if isinstance(text, Text):
            lines = [text]
        elif self.width is None:
            lines = [Text(printable(text))]
        else:
            lines = [Text(line) for line in wrap(printable(text), self.width, more="  ")]
        for line in lines:
            self.console.print(line, style=style)

    def show(self, event: Event) -> None:
        """Render one event. Raises `KeyboardInterrupt` if a signal to stop was lost before."""
        check_stops()
        match event:
            case Warned(message) | Noted(message):
                warned = isinstance(event, Warned)
                self.say(f"clipcli: {message}" if warned else message, style="yellow" if warned else "")
            case InputsFound(count):
                self._total = count
                self._status.update("Loading …")
            case Loading(name, where, size):
                place = "" if name == where else f" from {_from_home(where)}"
                self.say(f"Loading {name} ({format_size(size)}){place}")
            case ModelLoaded(name, runtime, details):
                self._status.stop()
                self.say(f"{name} {runtime}")
                if self.verbose:
                    self.say(f"  {details}")
            case ModelKnown(name, precision, details):
                self.say(f"{name} in {precision}: what is known comes from the cache")
                if self.verbose:
                    self.say(f"  {details}")
            case TimeSpent():
                self._spent = event, clock.seconds()
            case Later():
                self._later.append(event)
            case _:
                self._show_progress(event)

    def _show_progress(self, event: Event) -> None:
        match event:
            case Downloading(name, done, total):
                self._status.stop()
                size = f"{format_size(done)}/{format_size(total or done)}"
                self.advance(f"Download {name}", done, total, count=size, has_rate=False)
            case ClassesEncoded(done, total, cached, prompts):
                note = f"× {prompts:.3g} prompts" + (f", {cached:,} from the cache" if cached else "")
                self.advance("Labels", done, total, count=f"{done:,}/{total:,}", note=note)
            case ImagesEmbedded(done, total) | ImagesCompared(done, total) | ThumbnailsMade(done, total):
                self.advance(_BARS[type(event)], done, total, count=f"{done:,}/{total:,}")
            case ImagesGathered(done, total):
                note = "all before the first row"
                self.advance("Encoded", done, total, count=f"{done:,}/{total:,}", note=note)
            case PageServed():
                self._status.stop()
            case PhotosReviewed(done, total):
                self.advance("Reviewed", done, total, count=f"{done:,}/{total:,}", has_rate=False)
            case ProbeFitted(done, total, shots):
                note = "all images" if shots is None else f"{shots:,} a class"
                self.advance("Probes", done, total, count=f"{done:,}/{total:,}", note=note)
            case FilesActedOn(done, total):
                self._status.stop()
                self.advance("Files", done, total, count=f"{done:,}/{total:,}")
            case RowsReady():
                self._show_rows(event)

    def _show_rows(self, event: RowsReady) -> None:
        self._rows += len(event.rows)
        # The bar, and with it the rate, begins where the earlier run stopped.
        if not event.earlier:
            self.advance("Photos", self._rows, self._total, count=f"{self._rows:,}/{self._total:,}")

    def advance(
        self, name: str, done: int, total: int | None, *, count: str, note: str = "", has_rate: bool = True
    ) -> None:
        """Move the bar of this name on, if there is a terminal."""
        if self.live:
            self._view.start()
            self._bars.advance_to(name, done, total, count=count, note=note, has_rate=has_rate)


def _from_home(path: str) -> str:
    return path.replace(f"{os.path.expanduser('~')}{os.sep}", f"~{os.sep}")
