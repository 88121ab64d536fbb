"""The numbers of a step: its `StepDone` event, with the speed and the time left, and its line in the metrics."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from clipcli.commands.train.trainer import StepNumbers, TakenStep
from clipcli.events import StepDone

_NOT_LOGGED = ("steps", "memory", "seconds_left")


class StepMeter:
    """Measures how fast a run is, over its last `window` steps and without what comes between steps.

    `pairs` and `batch_size` count over all processes; `seconds` were spent before the run was resumed.
    """

    def __init__(self, *, steps: int, batch_size: int, pairs: int, window: int, seconds: float) -> None:
        self._steps, self._batch_size, self._pairs = steps, batch_size, pairs
        self._times: deque[float] = deque(maxlen=window + 1)
        self._start = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Seconds spent until now."""
        return time.perf_counter() - self._start

    def restart(self) -> None:
        """Measure the speed anew, after a pause for a validation or a checkpoint."""
        self._times.clear()
        self._times.append(time.perf_counter())

    def step_done(self, step: TakenStep, numbers: StepNumbers, *, memory: int | None) -> StepDone:
        """The event of a step; `memory` is the peak in bytes, if it is known."""
        self._times.append(step.time)
        images_per_second = self._batch_size * (len(self._times) - 1) / (step.time - self._times[0])
        return StepDone(
            step=step.number,
            steps=self._steps,
            epoch=step.number * self._batch_size / self._pairs,
            loss=numbers.loss,
            lr=step.lr,
            logit_scale=numbers.logit_scale,
            grad_norm=numbers.grad_norm,
            images_per_second=images_per_second,
            memory=memory,
            seconds=step.time - self._start,
            seconds_left=(self._steps - step.number) * self._batch_size / images_per_second,
        )


def metrics_line(event: StepDone) -> dict[str, Any]:
    """The values of a step's line in `metrics.jsonl`; memory is in MB."""
    values = {name: getattr(event, name) for name in event.__slots__ if name not in _NOT_LOGGED}
    return {**values, "memory_mb": None if event.memory is None else event.memory / 1e6}
