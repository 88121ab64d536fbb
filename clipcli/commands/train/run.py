"""A training run from its settings to its model: checks, loads, takes the steps, and writes the model."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.runtime import Runtime, choose_runtime
from clipcli.backbones.towers import batch_norms
from clipcli.commands.train import wise_ft
from clipcli.commands.train.agreement import check_agreement
from clipcli.commands.train.batches import batches_for
from clipcli.commands.train.bias import with_fitting_bias
from clipcli.commands.train.choose import prepare
from clipcli.commands.train.collapse import leaves_collapsed
from clipcli.commands.train.config_file import absolute, gather_config
from clipcli.commands.train.data import TrainingData, checks_on, read_checks, read_training_data
from clipcli.commands.train.defaults import resolve, without_lengths
from clipcli.commands.train.finish import finish
from clipcli.commands.train.held_out import hold_out
from clipcli.commands.train.identity import checks_identity, start_identity
from clipcli.commands.train.kept import Kept, best_so_far
from clipcli.commands.train.model import Trainee, default_loss, find_start, load_trainee
from clipcli.commands.train.order import Order, parts_of
from clipcli.commands.train.processes import Processes, local_process_count, process_group
from clipcli.commands.train.report import write_report
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.run_state import RunState
from clipcli.commands.train.saving import resume_run
from clipcli.commands.train.session import Session
from clipcli.commands.train.settings import TrainConfig, TrainRequest
from clipcli.commands.train.skipped import as_rows
from clipcli.commands.train.trainer import Trainer
from clipcli.commands.train.validation import Checks
from clipcli.data.pairs import Pair
from clipcli.errors import ClipcliError, InputNotFound, UsageError
from clipcli.events import Event, ModelLoaded, Noted, PairsFound, Warned, result_of
from clipcli.notices import Notices
from clipcli.settings import Show, api


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a run: its folder, the steps it took of all its `steps`, and the metrics of its model by name.

    `kept` says in a sentence which weights are left, and why, and `verdict` what was gained and lost, and whether to
    use them. `worse` is true where they are worse than the start, or
    where that was kept because no step was better. `skipped` counts the pairs that were left out, `cut_captions` the
    captions drawn that were longer than the context. `collapsed` is true where the model that is left cannot tell
    images apart.
    """

    folder: Path
    step: int
    steps: int
    metrics: Mapping[str, float]
    kept: str
    verdict: str
    worse: bool
    skipped: int
    cut_captions: int
    collapsed: bool


@api(TrainRequest, read=dict)
def train(given: dict[str, Any], show: Show) -> Trained:
    """Train a model on `data`, one DATA or several, into the folder `output`, as `clipcli train` does.

    Raises the errors of `clipcli.errors`.
    """
    resume = bool(given.pop("resume", False))
    return result_of(run(gather_config(given, resume=resume), resume=resume), show=show)


def run(config: TrainConfig, *, resume: bool = False, stop: Flag | None = None) -> Generator[Event, None, Trained]:
    """As `train`, with its events. When `stop` is set, it saves a checkpoint after the step it is in, and ends."""
    runtime = _runtime(config)
    with process_group(device=runtime.kind) as processes, ExitStack() as stack:
        resume = resume or processes.restarted
        with processes.together():
            config, start, data, checks = yield from _checked(config, resume=resume)
        new = _new_state(config, start, data, checks)
        check_agreement(config, new.identity, data, processes=processes)
        folder = _take_folder(Path(config.output or ""), config, processes, stack, resume=resume)
        with processes.together():
            trainee = load_trainee(start, config, runtime=runtime)
        yield ModelLoaded(start.name, str(runtime), str(trainee.backbone))
        prepared = yield from prepare(trainee, data, runtime=runtime, processes=processes)
        trainee, config = prepared.trainee, prepared.trainee.config
        yield from _warnings(trainee)
        order = Order(parts_of(data.sizes, data.shares, batch_size=config.batch_size or 1), config.seed)
        batches = batches_for(trainee, data, order=order, runtime=runtime, processes=processes, stored=prepared.stored)
        trainee = with_fitting_bias(trainee, start, batches, runtime=runtime, processes=processes)
        starting = trainee.weights() if config.wise_ft is not None or checks.validates else {}
        trainer = Trainer(trainee, runtime=runtime, processes=processes, distillation=prepared.distillation)
        state, path = replace(new, steps=config.steps or 0), Path(config.output or "")
        if resume:
            state = yield from resume_run(trainer, state, data=data, run=path, folder=folder, processes=processes)
        if folder is not None:
            folder.write_settings(config)
        session = Session(
            trainer,
            state=state,
            batches=batches,
            measured=prepared.lines,
            data=data,
            checks=checks,
            runtime=runtime,
            processes=processes,
            run=path,
            folder=folder,
            stop=stop or Flag(),
        )
        kept = yield from _to_its_end(session, starting, folder)
        return _trained(session, kept)


def _to_its_end(
    session: Session, starting: wise_ft.Weights, folder: RunFolder | None
) -> Generator[Event, None, Kept | None]:
    """Take the steps, and write the report. Returns what is kept in the end, `None` if the run was stopped before."""
    kept = None
    try:
        yield from session.go()
        if session.done:
            kept = yield from finish(session, starting, folder)
    except BaseException:
        # A run that failed gets a report too, if it can be written; the failure says more than its error would.
        with suppress(ClipcliError):
            _write_report(folder)
        raise
    _write_report(folder)
    return kept


def _trained(session: Session, kept: Kept | None) -> Trained:
    state = session.state
    return Trained(
        folder=session.run,
        step=state.step,
        steps=state.step if session.done else session.steps,
        metrics=state.metrics,
        kept=kept.sentence if kept else _so_far(state),
        verdict=kept.verdict if kept else "",
        worse=kept is not None and kept.worse,
        skipped=len(state.skipped),
        cut_captions=state.cut_captions,
        collapsed=leaves_collapsed(state) and not (kept and kept.step == 0),
    )


def resolved(
    config: TrainConfig,
) -> Generator[Event, None, tuple[TrainConfig, Architecture, TrainingData, tuple[Pair, ...]]]:
    """The configuration with every setting filled in that does not wait for a measurement, the model and the data.

    Last come the pairs that are held out of the data. Raises `UsageError` where some should be beside `--val`.
    """
    config = absolute(config)
    if config.hold_out and (config.val or config.zero_shot):
        raise UsageError("--hold-out is for runs without --val and --zero-shot; leave it out")
    start = yield from find_start(config)
    notices = Notices()
    data = read_training_data(config, notices)
    yield from notices.events()
    yield PairsFound(len(data.pairs), len(data.skipped))
    config = replace(config, precision=_runtime(config).precision)
    data, held = yield from _held_out(data, without_lengths(config))
    return resolve(config, pairs=len(data.pairs), loss=default_loss(start)), start, data, held


def _held_out(data: TrainingData, config: TrainConfig) -> Generator[Event, None, tuple[TrainingData, tuple[Pair, ...]]]:
    """The data without the part that is held out, and that part."""
    if not config.hold_out:
        return data, ()
    data, held = hold_out(data, config.hold_out, seed=config.seed)
    if held:
        yield Noted(
            f"{len(held):,} pairs of DATA are held out to validate on, as neither --val nor --zero-shot is given"
        )
    return data, held


def _runtime(config: TrainConfig) -> Runtime:
    """The device, precision and decoding threads to train with; processes on one machine share its cores."""
    runtime = choose_runtime(device=config.device, precision=config.precision, workers=config.workers)
    if ":" in config.device and local_process_count() > 1:
        raise UsageError(
            f"--device {config.device} is for one process; give --device cuda, and each process takes a card of its own"
        )
    if runtime.precision == "fp16":
        # Its range is too small for gradients.
        runtime = replace(runtime, precision="fp32", reason="fp16 cannot hold gradients")
    if config.workers is None:
        runtime = replace(runtime, workers=max(1, runtime.workers // local_process_count()))
    return runtime


def _checked(
    config: TrainConfig, *, resume: bool
) -> Generator[Event, None, tuple[TrainConfig, Architecture, TrainingData, Checks]]:
    """Read and check everything that can be before the model is loaded and the folder taken."""
    if not config.output:
        raise UsageError("no folder for the run was given; give --output RUN")
    alpha = None if config.wise_ft is None else wise_ft.parse_alpha(config.wise_ft)
    try:
        config, start, data, held = yield from resolved(config)
    except InputNotFound as e:
        if not resume:
            raise
        again = f"clipcli train DATA --resume --output {config.output}"
        raise InputNotFound(f"{e}; where DATA has moved, go on with its new place: {again}") from None
    notices = Notices()
    checks = read_checks(config, notices, loss=config.loss or "clip", batch_size=config.batch_size or 1)
    yield from notices.events()
    if held:
        checks = checks_on(held, checks, config, among=data.pairs)
    if config.wise_ft is not None and config.pretrains:
        raise UsageError("--wise-ft mixes with the weights of --model, and --arch has none; leave it out")
    if config.wise_ft is not None and alpha is None and not checks.validates:
        raise UsageError("--wise-ft auto chooses by validation; give --zero-shot DIR or --val DATA as well")
    return config, start, data, checks


def _new_state(config: TrainConfig, start: Architecture, data: TrainingData, checks: Checks) -> RunState:
    """The state of a run before its first step."""
    identity = {**start_identity(start), "DATA": data.fingerprint(), **checks_identity(checks)}
    return RunState(identity=identity, roots=data.roots, skipped=dict(as_rows(data.skipped)), steps=config.steps or 0)


def _take_folder(
    path: Path, config: TrainConfig, processes: Processes, stack: ExitStack, *, resume: bool
) -> RunFolder | None:
    """The run's folder, locked until `stack` ends; `None` in processes that do not lead.

    An error of the leading process is raised in all of them.
    """
    folder = None
    with processes.together():
        if processes.leads:
            folder = RunFolder(path)
            stack.callback(folder.close)
            folder.begin(config, resume=resume)
    return folder


def _warnings(trainee: Trainee) -> Generator[Warned, None, None]:
    """Settings that do less, or something else, for this model than their names say."""
    config = trainee.config
    trainee.train_mode()
    if config.micro_batch is not None and any(norm.training for norm in batch_norms(trainee.towers)):
        yield Warned("batch norm takes its statistics over a micro-batch, not over the whole batch")
    if config.grad_checkpoint and not hasattr(trainee.towers.visual, "transformer"):
        yield Warned("--grad-checkpoint may do nothing for this image tower: open_clip has it for transformers")


def _so_far(state: RunState) -> str:
    return best_so_far(state.best_step, metrics=state.best_metrics, start=state.start_metrics)


def _write_report(folder: RunFolder | None) -> None:
    if folder is not None and folder.has_metrics:
        write_report(folder.path)
