"""The checkpoints of a run on disk: each a folder that is whole or not there, with a model and the training state."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clipcli.backbones.directory import CHECKPOINTS_FOLDER, saved_steps
from clipcli.backbones.open_clip_folder import WEIGHTS_NAME, from_open_clip, write_open_clip
from clipcli.commands.train.model import Trainee
from clipcli.commands.train.too_large import free_reserve, smaller_steps
from clipcli.errors import BadFile, ClipcliError, OutputFailed, is_out_of_memory, why_not_written
from clipcli.files.atomic import part_of

_STATE_NAME = "trainer.pt"


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint on disk, after `step` steps."""

    step: int
    folder: Path

    def weights(self) -> dict[str, Tensor]:
        """The weights on the CPU, under the names of `Towers`. Raises `BadFile`."""
        try:
            return from_open_clip(load_file(self.folder / WEIGHTS_NAME))
        except (OSError, SafetensorError) as e:
            raise self._broken(WEIGHTS_NAME, e) from None

    def state(self) -> dict[str, Any]:
        """The state that was saved beside the weights, its tensors on the CPU. Raises `BadFile`."""
        path = self.folder / _STATE_NAME
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as e:
            raise self._broken(_STATE_NAME, e) from None
        return state

    def _broken(self, name: str, error: Exception) -> BadFile:
        return BadFile(
            f"cannot read {self.folder / name} ({error}); remove that folder to go on from the checkpoint before"
        )


def checkpoints_in(run: Path) -> list[SavedCheckpoint]:
    """The checkpoints of a run, by step."""
    return [SavedCheckpoint(step, folder) for step, folder in sorted(saved_steps(run).items())]


def save_checkpoint(run: Path, step: int, *, trainee: Trainee, state: Mapping[str, Any]) -> SavedCheckpoint:
    """Write a checkpoint of the model and the `state`; it appears when all of it is on the disk.

    Raises `OutputFailed`, and `ClipcliError` where the memory does not hold it; earlier checkpoints stay.
    """
    target = run / CHECKPOINTS_FOLDER / f"step-{step:08d}"
    part = part_of(target)
    if trainee.adapters is not None:
        # Their weights are merged in a copy, for which what torch holds in reserve may be needed.
        free_reserve()
    try:
        part.mkdir(parents=True)
        write_model(part, trainee, trainee.weights())
        torch.save(dict(state), part / _STATE_NAME)
        _sync(part)
        if target.exists():
            target.replace(part_of(target))
        part.replace(target)
    # On a full disk torch and safetensors raise errors of their own.
    except (OSError, RuntimeError, SafetensorError, MemoryError) as e:
        shutil.rmtree(part, ignore_errors=True)
        kept = checkpoints_in(run)
        is_kept = f"{kept[-1].folder} is kept; " if kept else ""
        if is_out_of_memory(e):
            smaller = smaller_steps(trainee.config, pairs=trainee.config.batch_size or 1)
            raise ClipcliError(
                f"the memory does not hold what checkpoint {target} needs; {is_kept}go on with --resume {smaller}"
            ) from None
        free = f"{is_kept}free some space" + (" and go on with --resume" if kept else "")
        raise OutputFailed(f"cannot write checkpoint {target}: {why_not_written(e) or e}; {free}") from None
    return SavedCheckpoint(step, target)


def prune(run: Path, *, best: int | None, keep_every: int | None) -> None:
    """Remove all checkpoints but the last two, the one of the step `best`, and those at multiples of `keep_every`.

    The last but one is kept for when the last cannot be gone on from, as after a loss that is not a number.
    """
    for saved in checkpoints_in(run)[:-2]:
        if saved.step != best and not (keep_every and saved.step % keep_every == 0):
            shutil.rmtree(saved.folder, ignore_errors=True)
    for left in (run / CHECKPOINTS_FOLDER).glob(".step-*.part"):
        shutil.rmtree(left, ignore_errors=True)


def export_model(run: Path, trainee: Trainee, weights: Mapping[str, Tensor]) -> None:
    """Write the final model of a run to its folder. Raises `OutputFailed`; the checkpoints stay."""
    try:
        write_model(run, trainee, weights)
    except (OSError, SafetensorError) as e:
        raise OutputFailed(f"cannot write the model to {run}: {e}; free some space and go on with --resume") from None


def write_model(folder: Path, trainee: Trainee, weights: Mapping[str, Tensor]) -> None:
    """Write a model as open_clip and `--model` read it; `weights` are under the names of `Towers`.

    Raises `OSError`, and `SafetensorError` for the weights.
    """
    write_open_clip(folder, trainee.architecture, trainee.backbone, weights)


def _sync(folder: Path) -> None:
    """Flush the files of a folder to the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
