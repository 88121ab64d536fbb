"""The loop of a run: takes its steps, logs them, and validates and saves when that is due."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.batches import Batches, TrainBatch
from clipcli.commands.train.collapse import collapse_message, notice_collapse
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.distill import TEXTS
from clipcli.commands.train.divergence import check_finite
from clipcli.commands.train.encoded_together import encode_images_together
from clipcli.commands.train.examples import BEFORE, write_examples
from clipcli.commands.train.identity import IMAGES
from clipcli.commands.train.metrics_log import MetricsLog, now
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.run_state import RunState
from clipcli.commands.train.sample import Work
from clipcli.commands.train.saving import save_run
from clipcli.commands.train.skipped import SkippedPairs
from clipcli.commands.train.step_meter import StepMeter, metrics_line
from clipcli.commands.train.stored import EncodeImages, keeps_images, remembering, stores_images
from clipcli.commands.train.too_large import MemoryTooSmall
from clipcli.commands.train.trainer import StepNumbers, TakenStep, Trainer
from clipcli.commands.train.validation import Checks, Measurement, Nearest
from clipcli.errors import ClipcliError
from clipcli.events import Event, Noted, StepDone, Validated, Warned
from clipcli.images.limits import limits_of

# Steps over which the speed is measured.
_SPEED_WINDOW = 10


class Session:
    """A run from its present state to its last step, or until `stop` is set.

    All processes read checkpoints in the folder `run`; `folder` is `None` in those that do not lead, which write
    nothing. `measured` are lines for the metrics, by kind, of what was measured before the first step.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        state: RunState,
        batches: Batches,
        data: TrainingData,
        checks: Checks,
        runtime: Runtime,
        processes: Processes,
        run: Path,
        folder: RunFolder | None,
        stop: Flag,
        measured: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> None:
        config = trainer.config
        self._measured = measured
        # A tower that learns nothing gives the images of a validation the same embeddings each time.
        encode: EncodeImages = partial(encode_images_together, limits=limits_of(config))
        self._encode = remembering(encode) if keeps_images(config) else encode
        self.trainer, self.state, self.config, self.run = trainer, state, config, run
        self._batches, self._data, self._checks, self._runtime = batches, data, checks, runtime
        self.processes, self._folder, self._stop = processes, folder, stop
        self._stopped = False
        self._warned: set[str] = set()
        self.examples: tuple[Nearest, ...] = ()
        self._log = MetricsLog(folder, tensorboard=config.tensorboard)
        self._skipped = SkippedPairs(state.skipped, total=data.total, most=config.max_skipped, processes=processes)
        self._meter = StepMeter(
            steps=self.steps,
            batch_size=config.batch_size or 0,
            pairs=len(data.pairs),
            window=_SPEED_WINDOW,
            seconds=state.seconds,
        )

    @property
    def steps(self) -> int:
        """How many steps the run has in all."""
        return self.config.steps or 0

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken until now, before it was resumed included."""
        return self._meter.seconds

    @property
    def done(self) -> bool:
        """True when all steps are taken, or enough validations in a row were no better."""
        return self.state.step == self.steps or self._ended_early

    @property
    def _ended_early(self) -> bool:
        return bool(self.config.patience) and self.state.no_better >= (self.config.patience or 0)

    def go(self) -> Generator[Event, None, None]:
        """Take all steps that are left, or stop early where that was asked for, with a checkpoint."""
        if self.state.step == 0:
            start = {"time": now(), "pairs": len(self._data.pairs), "runtime": str(self._runtime)}
            self._log.write("start", {**start, **self.trainer.trainee.summary()})
            for kind, values in self._measured:
                self._log.write(kind, values)
        yield from self._validate_if_missed()
        if not self.done:
            with closing(self._batches.start(self.state.step, end=self.steps)) as batches:
                yield from self._take(batches)
        yield from self._batches.notices.events()
        if self.done:
            yield from self._validate_if_missed()

    def measure(self) -> Generator[Event, None, dict[str, float]]:
        """All metrics of the model as it is now, by name, and `examples`. A warning comes only once in a run."""
        measured = self.measured_on(self._checks)
        yield from (Warned(warning) for warning in measured.warnings if warning not in self._warned)
        self._warned |= set(measured.warnings)
        self.examples = measured.examples
        return measured.metrics

    def measured_on(self, checks: Checks) -> Measurement:
        """The model as it is now, measured on these data."""
        backbone = self.trainer.result.for_evaluation()
        return checks.measure(backbone, runtime=self._runtime, processes=self.processes, encode=self._encode)

    @property
    def checks(self) -> Checks:
        """The data to measure the model on."""
        return self._checks

    @property
    def work_of_a_measurement(self) -> Work:
        """What is encoded to measure the model on all of `checks`."""
        return self._checks.work(images_known=keeps_images(self.config))

    @property
    def encoded(self) -> int:
        """How many images and texts the steps until now have encoded, those that texts are held to among them."""
        batch = (self.config.batch_size or 0) * (1 if stores_images(self.config) else 2)
        return self.state.step * (batch + (TEXTS if self.config.distill else 0))

    def _take(self, batches: Generator[TrainBatch, None, None]) -> Generator[Event, None, None]:
        """Take a step on each batch.

        The numbers of a step are read when the next step is under way, so that a GPU never waits for the host.
        """
        self._train_mode()
        unread: TakenStep | None = None
        for batch in batches:
            try:
                step = self.trainer.take(self.state.step, batch, stop=self._stop.is_set())
            except MemoryTooSmall as e:
                yield from self._save_alone(unread, e)
                raise
            self.state.step = step.number
            if unread is not None:
                yield from self._account(unread)
            unread = step
            validates, saves = self._is_due(self.config.val_every), self._saves()
            if validates or saves or self._stopped:
                yield from self._account(unread)
                unread = None
                improved = (yield from self._validate()) if validates and not self._stopped else False
                if saves or improved or self._stopped:
                    yield from self._save()
                self._train_mode()
            if self._ended_early:
                said = f"{self.state.no_better} validations in a row were no better"
                yield Noted(f"the run ends at step {self.state.step:,}: {said}")
            if self._stopped or self.done:
                return

    def _save_alone(self, unread: TakenStep | None, error: MemoryTooSmall) -> Generator[Event, None, None]:
        """Save the run as it was before a step that the memory did not hold, and say in the error how to go on.

        Nothing is exchanged with other processes: they wait for the step. What they have skipped since the last
        checkpoint is found again.
        """
        if unread is not None:
            event = self._counted(unread, unread.read())
            if self._is_logged(event):
                self._log.write("step", metrics_line(event))
            yield event
        saved = ""
        if self._folder is not None and error.is_before_the_step and self.state.step:
            self.state.seconds = self.seconds
            self.state.identity[IMAGES] = self._data.images_fingerprint(without=self.state.skipped)
            yield from save_run(self.trainer, self.state, run=self.run, folder=self._folder, processes=Processes())
            saved = f"; step {self.state.step:,} is saved"
        error.args = (f"{error}{saved}; go on with --resume {error.advice}",)

    def _train_mode(self) -> None:
        self.trainer.trainee.train_mode()
        self._meter.restart()

    def _is_due(self, every: int | None) -> bool:
        return self.done or self.state.step % (every or 1) == 0

    def _saves(self) -> bool:
        every = self.config.keep_every
        return self._is_due(self.config.save_every) or (every is not None and self._is_due(every))

    def _account(self, step: TakenStep) -> Generator[Event, None, None]:
        """Read the numbers of a step, check them, and log them."""
        numbers = step.read()
        self._stopped = self._stopped or numbers.stop
        check_finite(step, numbers, run=self.run, processes=self.processes)
        event = self._counted(step, numbers)
        if self._is_logged(event):
            self._skipped.share()
            self._log.write("step", metrics_line(event))
        yield event
        yield from self._check_collapse(step.number, numbers)
        if self._skipped.error() is not None:
            # The weights are kept for the day when the data is mended; then the error is raised.
            yield from self._save()

    def _check_collapse(self, step: int, numbers: StepNumbers) -> Generator[Event, None, None]:
        """Warn of a run that has collapsed, once, or end it with `ClipcliError` where that was asked for."""
        if not notice_collapse(self.state, step, numbers):
            return
        collapsed = self.state.collapsed_step is not None
        self._log.write("collapse", {"step": step, "collapsed": collapsed})
        if not collapsed:
            yield Noted(f"the run has recovered from its collapse: at step {step} embeddings differ again")
            return
        message = collapse_message(step, numbers, self.config)
        if self.config.stop_on_collapse:
            raise self.processes.alike(ClipcliError(message))
        yield Warned(message)

    def _counted(self, step: TakenStep, numbers: StepNumbers) -> StepDone:
        """Add what is known of a step to the state."""
        self.state.loss = numbers.loss
        self.state.cut_captions += numbers.cut_captions
        self._skipped.add(step.batch.skipped)
        return self._meter.step_done(step, numbers, memory=self.trainer.memory())

    def _is_logged(self, event: StepDone) -> bool:
        return event.step % (self.config.log_every or 1) == 0 or event.step in (1, self.steps)

    def _validate_if_missed(self) -> Generator[Event, None, None]:
        """Validate the model before the first step, and where a run was stopped before a validation that was due."""
        if self.state.validated_step != self.state.step and (
            self.state.step == 0 or self._is_due(self.config.val_every)
        ):
            yield from self._validate()

    def _validate(self) -> Generator[Event, None, bool]:
        """Measure the model. Returns true where it is the best so far."""
        metrics = yield from self.measure()
        improved = self.state.add_validation(metrics)
        if metrics:
            self._log.write("validation", {"step": self.state.step, **metrics})
            if self.state.step == 0 and self._folder is not None:
                write_examples(self.run, self.examples, when=BEFORE, limits=limits_of(self.config))
            yield Validated(self.state.step, metrics)
        return improved

    def _save(self) -> Generator[Event, None, None]:
        """Save the run. Raises `ClipcliError` where too many pairs were skipped until now, after it is saved."""
        self._skipped.share()
        self.state.seconds = self.seconds
        self.state.identity[IMAGES] = self._data.images_fingerprint(without=self.state.skipped)
        yield from save_run(self.trainer, self.state, run=self.run, folder=self._folder, processes=self.processes)
        error = self._skipped.error()
        if error is not None:
            raise self.processes.alike(error)
