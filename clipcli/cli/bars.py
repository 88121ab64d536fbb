"""Bars of progress, each in one line that fits the terminal: count, rate and time left."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import Progress, Task, TaskID
from rich.text import Text

from clipcli.cli.fit import cut

# In cells.
_WIDEST, _NARROWEST = 24, 6
_LEAST_NAME = 8


class Bars(Progress):
    """Bars by their names; `console` says how wide they may be."""

    def __init__(self, console: Console) -> None:
        super().__init__(console=console)
        self._ids: dict[str, TaskID] = {}

    def advance_to(self, name: str, done: int, total: int | None, *, count: str, note: str, has_rate: bool) -> None:
        """Move the bar of this name on, or begin it. `count` says how far it is, `note` what else there is to say."""
        if name not in self._ids:
            self._ids[name] = self.add_task(name, total=total, count=count, note=note, has_rate=has_rate)
        self.update(self._ids[name], completed=done, total=total, count=count, note=note)

    def get_renderables(self) -> Iterable[RenderableType]:
        """A line for each bar."""
        for task in self.tasks:
            yield line_of(task, self.console.width)


def line_of(task: Task, width: int) -> Text:
    """The bar of a task in one line: what does not fit is left out, the note first, and the count never."""
    figures = [task.fields["count"], *_rate(task), *_time(task), *filter(None, [task.fields["note"]])]
    room = width - min(cell_len(task.description), _LEAST_NAME)
    while len(figures) > 1 and sum(cell_len(figure) + 1 for figure in figures) > room:
        figures.pop()
    said = " ".join(figures)
    name = cut(task.description, width - cell_len(said) - 1)
    bar = min(_WIDEST, width - cell_len(name) - cell_len(said) - 2)
    line = Text(name, no_wrap=True)
    if bar >= _NARROWEST:
        done = int(bar * min(task.completed / task.total, 1)) if task.total else 0
        style = "bar.finished" if task.finished else "bar.complete"
        line.append(" ").append("━" * done, style=style).append("─" * (bar - done), style="bar.back")
    return line.append(f" {said}")


def _rate(task: Task) -> list[str]:
    speed = task.finished_speed or task.speed
    if not speed or not task.fields["has_rate"]:
        return []
    return [f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s"]


def _time(task: Task) -> list[str]:
    if task.finished:
        return [] if task.finished_time is None else [f"in {clock_time(task.finished_time)}"]
    left = task.time_remaining
    return [] if left is None else [f"{clock_time(left)} left"]


def clock_time(seconds: float) -> str:
    """Seconds as `1:05` or `2:00:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
