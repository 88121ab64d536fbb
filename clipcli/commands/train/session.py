"""A run from its first step, or from a checkpoint, to its last: what is logged, validated and saved, and when."""

from __future__ import annotations

import datetime
import math
import time
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from threading import Event as Flag
from typing import Any

import torch

from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.batches import Batches, TrainBatch, train_view
from clipcli.commands.train.checkpoints import Saved, prune, save, saved_in
from clipcli.commands.train.data import Checks, TrainingData, check_skipped
from clipcli.commands.train.order import Order
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.report import write_report
from clipcli.commands.train.run_folder import RunFolder, as_rows
from clipcli.commands.train.tensorboard import Board
from clipcli.commands.train.trainer import Done, Trainer
from clipcli.commands.train.validation import headline
from clipcli.errors import ClipcliError, UsageError
from clipcli.events import CheckpointSaved, Event, StepDone, Validated
from clipcli.outputs.text import writable

_NAMES_SHOWN = 3
BAD_BATCH_FILE = "bad-batch.txt"


class Session:
    """The steps of a run. `folder` is `None` in processes that do not lead; all of them read checkpoints in `run`."""

    def __init__(
        self,
        trainer: Trainer,
        *,
        data: TrainingData,
        checks: Checks,
        order: Order,
        runtime: Runtime,
        processes: Processes,
        run: Path,
        folder: RunFolder | None,
        stop: Flag,
    ) -> None:
        self.trainer, self.config, self.run = trainer, trainer.config, run
        self.step, self.cut = 0, 0
        self.skipped: dict[str, str] = dict(as_rows(data.skipped))
        self.validated: int | None = None
        self.best: tuple[int, float] | None = None
        self.stopped = False
        self.metrics: dict[str, float] = {}
        self.loss = math.nan
        self.seconds = 0.0
        self._data, self._checks, self._order = data, checks, order
        self._runtime, self._processes, self._folder, self._stop = runtime, processes, folder, stop
        self._board = Board(run) if self.config.tensorboard and folder is not None else None
        # It takes a look at every caption: once a run, not once a checkpoint.
        self._fingerprint = data.fingerprint()
        self._fresh: list[tuple[str, str]] = []
        self._clock = time.perf_counter()
        self._times: deque[float] = deque(maxlen=self.config.log_every + 1)

    @property
    def steps(self) -> int:
        """How many steps the run has in all."""
        return self.config.steps or 0

    def resume(self) -> None:
        """Go back to the last checkpoint, if there is one. Raises `UsageError` where the data is not the same."""
        saved = saved_in(self.run)
        if saved:
            state = saved[-1].state()
            if state["data"] != self._fingerprint:
                raise UsageError(
                    f"cannot resume {self.run}: DATA holds other pairs than before; put it back, or start anew"
                )
            self.trainer.restore(saved[-1], state)
            self.step, self.cut, self.seconds = state["step"], state["cut"], state["seconds"]
            self.loss, self.metrics = state["loss"], dict(state["metrics"])
            self.validated = state["validated"]
            self.best = None if state["best"] is None else tuple(state["best"])
            self.skipped |= dict(state["skipped"])
        self._processes.wait()
        if self._folder is not None:
            self._folder.forget_after(self.step if saved else -1)

    def go(self) -> Generator[Event, None, None]:
        """Take all steps that are left, or stop early where that was asked for."""
        self._clock = time.perf_counter() - self.seconds
        if self.step == 0:
            facts = {"pairs": len(self._data.pairs), "runtime": str(self._runtime)}
            self._log("start", {"time": _now(), **facts, **self.trainer.trainee.facts()})
        yield from self._catch_up()
        size, tokenizer = self.trainer.trainee.backbone.preprocessing.size, self.trainer.trainee.backbone.tokenizer
        view = train_view(
            self.trainer.trainee.backbone.preprocessing,
            crop=self.config.crop or 1.0,
            flip=bool(self.config.flip),
            augment=self.config.augment,
        )
        batches = Batches(
            self._data.pairs,
            sizes=self._data.sizes,
            order=self._order,
            view=view,
            size=size,
            tokenizer=tokenizer,
            processes=self._processes,
            workers=self._runtime.workers,
            pin=self._runtime.device == "cuda",
            cutmix=self.config.cutmix,
        )
        with closing(batches.start(self.step, end=self.steps)) as coming:
            yield from self._take(coming)
        if self.step == self.steps:
            yield from self._catch_up()

    def _catch_up(self) -> Generator[Event, None, None]:
        """Validate where that is due and a stop came before it."""
        if self.validated != self.step and (self.step == 0 or self._due(self.config.val_every)):
            yield from self._validate()

    def measure(self) -> dict[str, float]:
        """All metrics of the model as it is now."""
        backbone = self.trainer.result.in_use()
        checks = self._checks
        metrics: dict[str, float] = {}
        with self._autocast():
            for check in (checks.zero_shot, checks.val):
                metrics |= check.measure(backbone) if check is not None else {}
            if checks.retain is not None:
                metrics |= checks.retain.measure(backbone, prefix="retain_")
        return metrics

    def summary(self) -> dict[str, Any]:
        """What the run came to, for the last line of the metrics."""
        return {
            "time": _now(),
            "step": self.step,
            "seconds": time.perf_counter() - self._clock,
            "loss": self.loss,
            "skipped": len(self.skipped),
            "truncated_captions": self.cut,
            "best_step": None if self.best is None else self.best[0],
            "metrics": self.metrics,
        }

    def _take(self, batches: Generator[TrainBatch, None, None]) -> Generator[Event, None, None]:
        """Steps, each accounted for when the next one is under way, so that a card never waits for its numbers."""
        self.trainer.trainee.learn()
        pending: Done | None = None
        self._times.append(time.perf_counter())
        for batch in batches:
            done = self.trainer.take(self.step, batch, stop=self._stop.is_set())
            self.step = done.step
            if pending is not None:
                yield from self._account(pending)
            pending = done
            validates, saves = self._due(self.config.val_every), self._saves()
            if validates or saves or self.stopped:
                yield from self._account(pending)
                pending = None
                improved = (yield from self._validate()) if validates and not self.stopped else False
                if saves or improved or self.stopped:
                    yield from self._save()
                self.trainer.trainee.learn()
                self._times.clear()
                self._times.append(time.perf_counter())
            if self.stopped:
                return

    def _due(self, every: int | None) -> bool:
        return self.step == self.steps or self.step % (every or 1) == 0

    def _saves(self) -> bool:
        every = self.config.keep_every
        return self._due(self.config.save_every) or (every is not None and self._due(every))

    def _account(self, done: Done) -> Generator[Event, None, None]:
        """Look at a step's numbers, and say and log what came of it."""
        loss, norm, scale, stop = done.read()
        self.stopped = self.stopped or stop
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._give_up(done, loss)
        self.loss = loss
        self.cut += done.batch.cut
        self._fresh += as_rows(done.batch.skipped)
        self._times.append(done.taken)
        size = self.config.batch_size or 0
        rate = size * (len(self._times) - 1) / (done.taken - self._times[0])
        event = StepDone(
            step=done.step,
            steps=self.steps,
            epoch=done.step * size / len(self._data.pairs),
            loss=loss,
            lr=done.lr,
            logit_scale=scale,
            grad_norm=norm,
            images_per_second=rate,
            memory=self.trainer.memory(),
            seconds=done.taken - self._clock,
            seconds_left=(self.steps - done.step) * size / rate,
        )
        if done.step % self.config.log_every == 0 or done.step in (1, self.steps):
            self._share_skipped()
            values = {
                name: getattr(event, name)
                for name in event.__slots__
                if name not in ("steps", "memory", "seconds_left")
            }
            self._log("step", {**values, "memory_mb": event.memory / 1e6})
        yield event
        if self._skips_too_much():
            # What was learned until now is kept for when the data is mended.
            yield from self._save()

    def _validate(self) -> Generator[Event, None, bool]:
        """Measure the model; whether it is the best so far."""
        self.metrics = self.measure()
        self.validated = self.step
        if not self.metrics:
            return False
        self._log("validation", {"step": self.step, **self.metrics})
        yield Validated(self.step, self.metrics)
        value = headline(self.metrics)
        if value is None or (self.best is not None and value <= self.best[1]) or not self.step:
            return False
        self.best = (self.step, value)
        return True

    def _save(self) -> Generator[Event, None, None]:
        self._share_skipped()
        yield from self._write()
        self._check_skipped()

    def _write(self) -> Generator[Event, None, None]:
        if self._folder is not None:
            state = {
                **self.trainer.state(),
                "step": self.step,
                "seconds": time.perf_counter() - self._clock,
                "loss": self.loss,
                "metrics": self.metrics,
                "validated": self.validated,
                "best": None if self.best is None else list(self.best),
                "cut": self.cut,
                "skipped": list(self.skipped.items()),
                "data": self._fingerprint,
            }
            saved = save(self.run, self.step, trainee=self.trainer.result, state=state)
            prune(self.run, best=self.best and self.best[0], keep_every=self.config.keep_every)
            self._folder.write_skipped(self.skipped.items())
            write_report(self.run)
            yield CheckpointSaved(self.step, saved.folder)
        self._processes.wait()

    def _share_skipped(self) -> None:
        """Put together what the processes skipped."""
        for rows in self._processes.collect(self._fresh):
            self.skipped |= dict(rows)
        self._fresh = []

    def _skips_too_much(self) -> bool:
        return len(self.skipped) > self.config.max_skipped * self._data.total

    def _check_skipped(self) -> None:
        check_skipped(list(self.skipped.items()), total=self._data.total, most=self.config.max_skipped)

    def _give_up(self, done: Done, loss: float) -> None:
        """Stop at a loss or gradient that is not a number. Raises `ClipcliError`."""
        names = [name for names in self._processes.collect(done.batch.names) for name in names]
        if self._folder is not None:
            lines = "".join(f"{writable(name)}\n" for name in names)
            (self.run / BAD_BATCH_FILE).write_text(lines, encoding="utf-8", errors="surrogateescape")
        saved: list[Saved] = saved_in(self.run)
        kept = f"the last good checkpoint is {saved[-1].folder}" if saved else "no checkpoint was saved yet"
        raise ClipcliError(
            f"the {'gradient' if math.isfinite(loss) else 'loss'} is not a number at step {done.step}; its batch was "
            f"{', '.join(names[:_NAMES_SHOWN])} and {max(0, len(names) - _NAMES_SHOWN)} more, all in "
            f"{self.run / BAD_BATCH_FILE}; {kept}; try a lower --lr, or --precision fp32"
        )

    def _log(self, kind: str, values: Mapping[str, Any]) -> None:
        if self._folder is not None:
            self._folder.log(kind, values)
        if self._board is not None:
            self._board.write(values)

    def _autocast(self) -> AbstractContextManager[Any]:
        on = self._runtime.precision != "fp32"
        return torch.autocast(self._runtime.device, self._runtime.dtype, enabled=on)


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
