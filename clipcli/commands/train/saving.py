"""Saving a run so that it can go on, and going on from its last checkpoint."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from clipcli.commands.train.checkpoints import checkpoints_in, prune, save_checkpoint
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.identity import IMAGES, differences, moved
from clipcli.commands.train.optimizer import share_of_peak
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.report import write_report
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.run_state import RunState, state_from
from clipcli.commands.train.trainer import Trainer
from clipcli.errors import UsageError
from clipcli.events import CheckpointSaved, Noted

_RUN = "run"


def save_run(
    trainer: Trainer, state: RunState, *, run: Path, folder: RunFolder | None, processes: Processes
) -> Generator[CheckpointSaved, None, None]:
    """Write a checkpoint to the folder `run`, remove those that are not kept, and renew `skipped.csv` and the report.

    The leading process, which has the `folder`, does this, and the others wait for it. Raises `OutputFailed`, in all,
    and `ClipcliError` where the memory does not hold what is saved.
    """
    with processes.together():
        if folder is not None:
            state_of_all = {_RUN: asdict(state), **trainer.state()}
            saved = save_checkpoint(run, state.step, trainee=trainer.result, state=state_of_all)
            prune(run, best=state.best_step, keep_every=trainer.config.keep_every)
            folder.write_skipped(state.skipped.items(), spreadsheet_safe=trainer.config.untrusted)
            write_report(run)
            yield CheckpointSaved(state.step, saved.folder)


def resume_run(
    trainer: Trainer,
    start: RunState,
    *,
    data: TrainingData,
    run: Path,
    folder: RunFolder | None,
    processes: Processes,
) -> Generator[Noted, None, RunState]:
    """Put the trainer back to the last checkpoint in the folder `run`, and give the state of the run then.

    Without a checkpoint the run begins from the state `start`. Lines of the metrics after that step are dropped: they
    are computed anew. A note says what the learning rate does where the run has another length than before.

    The leading process reads the checkpoint and sends it to the others, which may not have that folder.

    Raises `UsageError` where the data or the model is not the same, or the run is longer already than it should be, and
    `BadFile` for a broken checkpoint; in all processes, whichever finds it.
    """
    loaded: tuple[RunState, dict[str, Tensor], dict[str, Any]] | None = None
    with processes.together():
        if processes.leads and (checkpoints := checkpoints_in(run)):
            saved = checkpoints[-1].state()
            before = state_from(saved.pop(_RUN, {}), checkpoint=checkpoints[-1].folder)
            loaded = before, checkpoints[-1].weights(), saved
    state = start
    # In a list, as tensors are looked for in lists.
    received = processes.from_leading(None if loaded is None else list(loaded))
    if received is not None:
        before, weights, saved = received
        with processes.together():
            state = _continued(before, start, data=data, run=run)
        trainer.restore(weights, saved)
        yield from _note_on_length(before, trainer, steps=start.steps)
    if folder is not None:
        folder.forget_after(state.step if received is not None else -1)
        folder.write_settings(trainer.config)
    return state


def best_weights(step: int, *, run: Path, processes: Processes) -> dict[str, Tensor] | None:
    """The weights of the checkpoint of a step, in all processes, or `None` where it is gone. Raises `BadFile`."""
    weights: dict[str, Tensor] | None = None
    with processes.together():
        saved = [one for one in checkpoints_in(run) if one.step == step] if processes.leads else []
        weights = saved[0].weights() if saved else None
    found: dict[str, Tensor] | None = processes.from_leading(weights)
    return found


def _continued(before: RunState, start: RunState, *, data: TrainingData, run: Path) -> RunState:
    """The state to go on from: that of `before`, with the places and the length of `start`. Raises `UsageError`."""
    skipped = {moved(path, before=before.roots, now=start.roots): why for path, why in before.skipped.items()}
    identity = start.identity | {IMAGES: data.images_fingerprint(without=skipped)}
    different = differences(before.identity, identity)
    if different:
        raise UsageError(f"cannot resume {run}: {', and '.join(different)} than before; put it back, or start anew")
    if start.steps < before.step:
        raise UsageError(
            f"cannot resume {run}: it has taken {before.step:,} steps, more than the {start.steps:,} asked for; "
            f"give --steps {before.step} or more"
        )
    return replace(before, identity=identity, roots=start.roots, steps=start.steps, skipped=start.skipped | skipped)


def _note_on_length(before: RunState, trainer: Trainer, *, steps: int) -> Generator[Noted, None, None]:
    if before.steps == steps or before.step == steps:
        return
    warmup, peak = trainer.config.warmup or 0, trainer.config.lr or 0.0
    was, now = (peak * share_of_peak(before.step, warmup=warmup, steps=length) for length in (before.steps, steps))
    yield Noted(
        f"the run has {steps:,} steps in all, before it had {before.steps:,}: from here on the learning rate follows "
        f"the cosine of {steps:,} steps, at first {now:.2e} in place of {was:.2e}"
    )
