"""Saving a run so that it can go on, and going on from its last checkpoint."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

from clipcli.commands.train.checkpoints import checkpoints_in, prune, save_checkpoint
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.report import write_report
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.run_state import RunState, state_from
from clipcli.commands.train.trainer import Trainer
from clipcli.errors import UsageError
from clipcli.events import CheckpointSaved

_RUN = "run"


def save_run(
    trainer: Trainer, state: RunState, *, run: Path, folder: RunFolder | None, processes: Processes
) -> Generator[CheckpointSaved, None, None]:
    """Write a checkpoint to the folder `run`, remove those that are not kept, and renew `skipped.csv` and the report.

    The leading process, which has the `folder`, does this, and the others wait for it. Raises `OutputFailed`.
    """
    if folder is not None:
        saved = save_checkpoint(run, state.step, trainee=trainer.result, state={_RUN: asdict(state), **trainer.state()})
        prune(run, best=state.best_step, keep_every=trainer.config.keep_every)
        folder.write_skipped(state.skipped.items())
        write_report(run)
        yield CheckpointSaved(state.step, saved.folder)
    processes.wait()


def resume_run(
    trainer: Trainer, start: RunState, *, run: Path, folder: RunFolder | None, processes: Processes
) -> RunState:
    """Put the trainer back to the last checkpoint in the folder `run`, and give the state of the run then.

    Without a checkpoint the run begins from the state `start`. Lines of the metrics after that step are dropped: they
    are computed anew. Raises `UsageError` where the data is not the same, and `BadFile` for a broken checkpoint.
    """
    checkpoints = checkpoints_in(run)
    state = start
    if checkpoints:
        saved = checkpoints[-1].state()
        state = state_from(saved.get(_RUN, {}), checkpoint=checkpoints[-1].folder)
        if state.data_fingerprint != start.data_fingerprint:
            raise UsageError(f"cannot resume {run}: DATA holds other pairs than before; put it back, or start anew")
        state.skipped = start.skipped | state.skipped
        trainer.restore(checkpoints[-1], saved)
    processes.wait()
    if folder is not None:
        folder.forget_after(state.step if checkpoints else -1)
    return state
