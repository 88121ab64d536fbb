"""Bars in one line each, the time of a whole run, and colours only where they are wanted."""

from __future__ import annotations

import io
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from clipcli.cli import clock
from clipcli.cli.bars import Bars, clock_time, line_of
from clipcli.cli.display import Display
from clipcli.cli.train_display import TrainDisplay
from clipcli.cli.where_time_went import where_time_went
from clipcli.events import StepDone, TimeSpent, Warned


def photos_line(width: int) -> str:
    """The line of a bar with all its figures: 6,000 of 12,345 images after a minute."""
    now = [0.0]
    bars = Bars(Console(file=io.StringIO()))
    bars.get_time = lambda: now[0]  # type: ignore[method-assign]
    for done in (0, 3000, 6000):
        bars.advance_to("Photos", done, 12_345, count=f"{done:,}/12,345", note="× 80 prompts", has_rate=True)
        now[0] += 30
    return line_of(bars.tasks[0], width).plain


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (140, f"Photos {'━' * 11}{'─' * 13} 6,000/12,345 100/s 1:04 left × 80 prompts"),
        (40, "Photos 6,000/12,345 100/s 1:04 left"),
        (30, "Photos 6,000/12,345 100/s"),
        (20, "Photos 6,000/12,345"),
        (16, "Ph… 6,000/12,345"),
    ],
)
def test_a_bar_leaves_out_what_does_not_fit(width: int, line: str) -> None:
    assert photos_line(width) == line
    assert cell_len(line) <= width


def test_seconds_are_said_as_a_clock_does() -> None:
    assert [clock_time(seconds) for seconds in (0.4, 65, 7205)] == ["0:00", "1:05", "2:00:05"]


def test_all_of_the_time_is_accounted_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock.begin()
    with Display(quiet=False, verbose=True) as display:
        now[0] = 106.0
        spent = TimeSpent(total=5.5, load=4.0, labels=0.5, wait=0.2, encode=0.3, read=0.1, decode=0.4, workers=2)
        display.show(spent)
        now[0] = 107.2
    assert capsys.readouterr().err == (
        "  Seconds, of 7.2: starting and finding the images 0.5, loading 4.0, labels 0.5, waiting for pixels 0.2, "
        "encoding 0.3, finishing 1.2, other 0.5. Beside these, in 2 threads: reading 0.1, decoding 0.4. "
        "The bottleneck: loading the model, which takes as long for a million images.\n"
    )


def test_what_was_waited_for_is_the_bottleneck() -> None:
    said = where_time_went(TimeSpent(total=2.0, wait=1.5, encode=0.5, read=0.2, decode=3.0, workers=2))
    assert said.endswith("The bottleneck: decoding; --decode fast, more --workers or more cores would help.")


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error as a terminal of 40 cells."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    return stream


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    stream = terminal(monkeypatch)
    if not no_color:
        monkeypatch.delenv("NO_COLOR")
    Display(quiet=False, verbose=False).show(Warned("3 files are no images, such as notes.pdf: they were left out"))
    assert ("\x1b[33m" in stream.getvalue()) is not no_color


@pytest.mark.parametrize(("memory", "shown_memory"), [(5_200_000_000, ["  5.2 GB"]), (None, [])])
def test_the_numbers_of_a_step_are_not_broken(
    monkeypatch: pytest.MonkeyPatch, memory: int | None, shown_memory: list[str]
) -> None:
    terminal(monkeypatch)
    display = TrainDisplay(quiet=False, verbose=False)
    display.show(
        StepDone(
            step=5, steps=10, epoch=1.0, loss=1.2345, lr=1e-3, logit_scale=14.3, grad_norm=1.0,
            images_per_second=1234.0, memory=memory, seconds=10.0, seconds_left=10.0,
        )
    )  # fmt: skip
    shown = Console(file=io.StringIO(), width=40)
    shown.print(display)
    display._view.stop()
    lines = shown.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].startswith("Steps ")
    assert [line.rstrip() for line in lines[1:]] == [
        "  loss 1.2345  rate 1.00e-03",
        "  temperature 0.0699  1,234 images/s",
        *shown_memory,
    ]
