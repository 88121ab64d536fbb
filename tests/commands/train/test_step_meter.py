"""The speed is that of the last steps, and the time left follows from it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch

import clipcli
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.loss import Groups
from clipcli.commands.train.run_lines import read_lines
from clipcli.commands.train.step_meter import StepMeter, metrics_line
from clipcli.commands.train.trainer import TakenStep

NONE = torch.zeros(0)
BATCH = TrainBatch(NONE, NONE, Groups(NONE, NONE, NONE, NONE, NONE), None, (), (), 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that shows its one number, of 100 seconds at first."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def step(number: int, at: float, *, stop: bool = False) -> TakenStep:
    """A step that was taken at a time."""
    return TakenStep(number, BATCH, 1e-3, torch.tensor([2.5, 0.75, 14.0, float(stop), 3.5, 0.25, 0.0]), None, at)


@pytest.mark.parametrize("stop", [False, True])
def test_the_numbers_of_a_step_are_read_in_order(stop: bool) -> None:
    numbers = step(1, 0.0, stop=stop).read()
    assert (numbers.loss, numbers.grad_norm, numbers.logit_scale, numbers.stop) == (2.5, 0.75, 14.0, stop)
    assert (numbers.chance, numbers.spread) == (3.5, 0.25)


def test_speed_and_time_left_are_those_of_the_last_steps(clock: list[float]) -> None:
    meter = StepMeter(steps=20, batch_size=8, pairs=40, window=2, seconds=50)
    meter.restart()
    found = []
    # The first step is slow, the others take two seconds each.
    for number, at in enumerate([110.0, 112.0, 114.0, 116.0], start=11):
        clock[0] = at
        taken = step(number, at)
        event = meter.step_done(taken, taken.read(), memory=3_000_000)
        found.append((event.step, event.epoch, event.images_per_second, event.seconds, event.seconds_left))
    assert found == [
        (11, 2.2, 0.8, 60, 90),
        (12, 2.4, pytest.approx(16 / 12), 62, 48),
        (13, 2.6, 4, 64, 14),
        (14, 2.8, 4, 66, 12),
    ]
    clock[0] = 130.0
    meter.restart()
    assert meter.seconds == 80
    taken = step(15, 131.0)
    assert meter.step_done(taken, taken.read(), memory=0).images_per_second == 8


def test_the_line_of_a_step_holds_its_numbers_and_memory_in_megabytes(clock: list[float]) -> None:
    meter = StepMeter(steps=20, batch_size=8, pairs=40, window=2, seconds=0)
    meter.restart()
    taken = step(1, clock[0] + 2)
    line = metrics_line(meter.step_done(taken, taken.read(), memory=3_500_000))
    assert line == {
        "step": 1,
        "epoch": 0.2,
        "loss": 2.5,
        "lr": 1e-3,
        "logit_scale": 14.0,
        "grad_norm": 0.75,
        "images_per_second": 4.0,
        "seconds": 2.0,
        "memory_mb": 3.5,
    }


def test_without_a_count_of_memory_all_else_is_in_the_lines(
    models: dict[str, Path], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has no module `resource`."""
    monkeypatch.setitem(sys.modules, "resource", None)
    run = tmp_path / "run"
    clipcli.train(pairs, model=models["vit"], output=run, device="cpu", precision="fp32", lr=1e-3, steps=1)
    [line] = read_lines(run / "metrics.jsonl").steps
    assert (line["step"], line["memory_mb"]) == (1, None)
    assert "Memory" not in (run / "report.html").read_text(encoding="utf-8")
