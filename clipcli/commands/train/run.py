"""From pairs of images and captions to a model: a run that fine-tunes or pretrains, and can be stopped and resumed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from torch import Tensor

from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.runtime import Runtime, choose_runtime
from clipcli.backbones.towers import batch_norms
from clipcli.commands.train import wise_ft
from clipcli.commands.train.checkpoints import export, saved_in
from clipcli.commands.train.config_file import absolute, gathered
from clipcli.commands.train.data import Checks, TrainingData, read_checks, read_training_data
from clipcli.commands.train.defaults import resolve
from clipcli.commands.train.model import Trainee, find_start, own_loss, prepare
from clipcli.commands.train.order import Order, parts_of
from clipcli.commands.train.processes import Processes, joined, processes_here
from clipcli.commands.train.report import write_report
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.session import Session
from clipcli.commands.train.settings import TrainConfig, TrainRequest
from clipcli.commands.train.trainer import Trainer
from clipcli.commands.train.validation import headline, retention
from clipcli.errors import ClipcliError, UsageError
from clipcli.events import Event, ModelLoaded, PairsFound, Warned, result_of
from clipcli.settings import api


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to: its folder, the steps it took of those it was to take, and the model's metrics by name.

    `skipped` counts the pairs that were left out, `cut_captions` the captions drawn that were longer than the context.
    """

    folder: Path
    step: int
    steps: int
    metrics: Mapping[str, float]
    skipped: int
    cut_captions: int


@api(TrainRequest, read=dict)
def train(given: dict[str, Any]) -> Trained:
    """Train a model on `data`, one DATA or several, into the folder `output`, as `clipcli train` does.

    Raises the errors of `clipcli.errors`.
    """
    resume = bool(given.pop("resume", False))
    return result_of(run(gathered(given, resume=resume), resume=resume))


def run(config: TrainConfig, *, resume: bool = False, stop: Flag | None = None) -> Generator[Event, None, Trained]:
    """`train`, saying what it does. When `stop` is set it saves a checkpoint after the step it is in, and ends."""
    runtime = _runtime(config)
    with joined(device=runtime.device) as processes, ExitStack() as stack:
        config, start, data, checks = yield from _checked(config)
        parts = parts_of(data.sizes, data.shares, batch_size=config.batch_size or 1)
        folder = _taken(config, processes, stack, resume=resume)
        trainee = prepare(start, config, runtime=runtime)
        yield ModelLoaded(start.name, str(runtime), str(trainee.backbone))
        yield from _warnings(trainee)
        starting = trainee.weights() if config.wise_ft is not None else {}
        session = Session(
            Trainer(trainee, runtime=runtime, processes=processes),
            data=data,
            checks=checks,
            order=Order(parts, config.seed),
            runtime=runtime,
            processes=processes,
            run=Path(config.output or ""),
            folder=folder,
            stop=stop or Flag(),
        )
        if resume:
            session.resume()
        try:
            yield from session.go()
            if session.step == session.steps:
                yield from _finish(session, starting, folder)
        except BaseException:
            # Also a run that failed has something to look at, if it can be written; the failure says more.
            with suppress(ClipcliError):
                _report(folder)
            raise
        _report(folder)
        return Trained(session.run, session.step, session.steps, session.metrics, len(session.skipped), session.cut)


def _runtime(config: TrainConfig) -> Runtime:
    """Where and how to train; the processes of one machine share its cores."""
    runtime = choose_runtime(device=config.device, precision=config.precision, workers=config.workers)
    if runtime.precision == "fp16":
        # Its range is too small for gradients.
        runtime = replace(runtime, precision="fp32", reason="fp16 cannot hold gradients")
    if config.workers is None:
        runtime = replace(runtime, workers=max(1, runtime.workers // processes_here()))
    return runtime


def _taken(config: TrainConfig, processes: Processes, stack: ExitStack, *, resume: bool) -> RunFolder | None:
    """The run's folder, in the process that leads; what keeps that one from it ends all of them."""
    folder, error = None, None
    if processes.leads:
        try:
            folder = RunFolder(Path(config.output or ""))
            stack.callback(folder.close)
            folder.begin(config, resume=resume)
        except ClipcliError as e:
            error = e
    processes.agree(error)
    return folder


def _warnings(trainee: Trainee) -> Generator[Warned, None, None]:
    config = trainee.config
    trainee.learn()
    if config.micro_batch is not None and any(norm.training for norm in batch_norms(trainee.towers)):
        yield Warned("batch norm takes its statistics over a micro-batch, not over the whole batch")
    if config.grad_checkpoint and not hasattr(trainee.towers.visual, "transformer"):
        yield Warned("--grad-checkpoint may do nothing for this image tower: open_clip has it for transformers")


def resolved(
    config: TrainConfig,
) -> Generator[Event, None, tuple[TrainConfig, Architecture, TrainingData]]:
    """The configuration with every setting that the run will have, and the model and data it was made for."""
    config = absolute(config)
    start = yield from find_start(config)
    data = read_training_data(config)
    yield PairsFound(len(data.pairs), len(data.skipped))
    config = replace(config, precision=_runtime(config).precision)
    return resolve(config, pairs=len(data.pairs), loss=own_loss(start)), start, data


def _checked(
    config: TrainConfig,
) -> Generator[Event, None, tuple[TrainConfig, Architecture, TrainingData, Checks]]:
    """Everything that can be read and checked before the model is loaded and the folder taken."""
    if not config.output:
        raise UsageError("no folder for the run was given; give --output RUN")
    alpha = None if config.wise_ft is None else wise_ft.parse_alpha(config.wise_ft)
    config, start, data = yield from resolved(config)
    checks = read_checks(config, loss=config.loss or "clip", batch_size=config.batch_size or 1)
    if config.wise_ft is not None and config.pretrains:
        raise UsageError("--wise-ft mixes with the weights of --model, and --arch has none; leave it out")
    if config.wise_ft is not None and alpha is None and not checks.validates:
        raise UsageError("--wise-ft auto chooses by validation; give --zero-shot DIR or --val DATA as well")
    return config, start, data, checks


def _finish(session: Session, starting: Mapping[str, Tensor], folder: RunFolder | None) -> Generator[Event, None, None]:
    """Put the model of the run into its folder: the best by validation, else the last, mixed if that was asked for."""
    trained = session.trainer.result.weights()
    best = [saved for saved in saved_in(session.run) if session.best is not None and saved.step == session.best[0]]
    if session.best is not None and not best:
        yield Warned(f"the best checkpoint, of step {session.best[0]}, is gone; the last weights are taken")
    earlier = [saved for saved in best if saved.step != session.step]
    if earlier:
        trained = earlier[0].weights()
    plain = session.trainer.plain()
    final: Mapping[str, Tensor] = trained
    if session.config.wise_ft is not None:
        final = yield from _mixed(session, starting, trained, folder)
    if final is not trained or earlier:
        plain.towers.load_state_dict(dict(final))
        session.metrics = session.measure()
    if folder is not None:
        export(session.run, plain, final)
        folder.log("end", session.summary())


def _report(folder: RunFolder | None) -> None:
    if folder is not None and folder.has_metrics:
        write_report(folder.path)


def _mixed(
    session: Session, starting: Mapping[str, Tensor], trained: Mapping[str, Tensor], folder: RunFolder | None
) -> Generator[Event, None, Mapping[str, Tensor]]:
    alpha = wise_ft.parse_alpha(session.config.wise_ft or wise_ft.AUTO)
    if alpha is not None:
        return wise_ft.mix(starting, trained, alpha)

    def measure(weights: Mapping[str, Tensor]) -> tuple[float | None, float | None]:
        session.trainer.trainee.towers.load_state_dict(dict(weights))
        metrics = session.measure()
        return headline(metrics), retention(metrics)

    alpha, points = yield from wise_ft.sweep(starting, trained, measure=measure, retain_drop=session.config.retain_drop)
    for point in points:
        if folder is not None:
            folder.log("wise_ft", {name: getattr(point, name) for name in point.__slots__})
    yield from (point for point in points if point.chosen)
    return wise_ft.mix(starting, trained, alpha)
