"""Checkpoints: folders that are whole or not there, each a model that `--model` takes and the state to go on from."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.backbones.directory import WEIGHTS_NAMES
from clipcli.commands.train.model import Trainee
from clipcli.errors import BadFile, OutputFailed
from clipcli.files.atomic import part_of, replacing

WEIGHTS_NAME = WEIGHTS_NAMES[0]
_STATE_NAME = "trainer.pt"
_FOLDER = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint on disk."""

    step: int
    folder: Path

    def weights(self) -> dict[str, Tensor]:
        """The weights under the names of `Towers`. Raises `BadFile`."""
        try:
            return from_open_clip(load_file(self.folder / WEIGHTS_NAME))
        except (OSError, SafetensorError) as e:
            raise self._broken(WEIGHTS_NAME, e) from None

    def state(self) -> dict[str, Any]:
        """What the trainer needs beside the weights. Raises `BadFile`."""
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


def saved_in(run: Path) -> list[Saved]:
    """The checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    found = [(_FOLDER.fullmatch(path.name), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    return sorted((Saved(int(m[1]), path) for m, path in found if m), key=lambda saved: saved.step)


def save(run: Path, step: int, *, trainee: Trainee, state: Mapping[str, Any]) -> Saved:
    """Write a checkpoint; it is there when all of it is on the disk. Raises `OutputFailed`, with the last one kept."""
    target = run / "checkpoints" / f"step-{step:08d}"
    part = part_of(target)
    try:
        part.mkdir(parents=True)
        write_model(part, trainee, trainee.weights())
        torch.save(dict(state), part / _STATE_NAME)
        _sync(part)
        if target.exists():
            target.replace(part_of(target))
        part.replace(target)
    # torch and safetensors tell of a full disk in errors of their own.
    except (OSError, RuntimeError, SafetensorError) as e:
        shutil.rmtree(part, ignore_errors=True)
        kept = saved_in(run)
        where = f"{kept[-1].folder} is kept; free some space and go on with --resume" if kept else "free some space"
        raise OutputFailed(f"cannot write checkpoint {target}: {e}; {where}") from None
    return Saved(step, target)


def prune(run: Path, *, best: int | None, keep_every: int | None) -> None:
    """Remove all checkpoints but the last two, the best, and every multiple of `keep_every` steps.

    The last but one is for the case that the last turns out to hold what no step can go on from.
    """
    for saved in saved_in(run)[:-2]:
        if saved.step != best and not (keep_every and saved.step % keep_every == 0):
            shutil.rmtree(saved.folder, ignore_errors=True)
    for left in (run / "checkpoints").glob(".step-*.part"):
        shutil.rmtree(left, ignore_errors=True)


def export(run: Path, trainee: Trainee, weights: Mapping[str, Tensor]) -> None:
    """Put the model of a run into its folder. Raises `OutputFailed`; the checkpoints stay."""
    try:
        write_model(run, trainee, weights)
    except (OSError, SafetensorError) as e:
        raise OutputFailed(f"cannot write the model to {run}: {e}; free some space and go on with --resume") from None


def write_model(folder: Path, trainee: Trainee, weights: Mapping[str, Tensor]) -> None:
    """The model as open_clip and `--model` read it: configuration, weights, and a tokenizer that has files.

    Each file replaces the one before as a whole. Raises `OSError`.
    """
    preprocessing = trainee.backbone.preprocessing
    config = {
        "model_cfg": dict(trainee.architecture.model_cfg),
        "preprocess_cfg": {
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": preprocessing.interpolation,
            "resize_mode": preprocessing.resize_mode,
            "fill_color": preprocessing.fill_color,
        },
    }
    tokenizer = trainee.backbone.tokenizer
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(str(folder))
    with replacing(folder / CONFIG_NAME) as stated:
        stated.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        with replacing(folder / WEIGHTS_NAME) as part:
            save_file(to_open_clip(weights, trainee.architecture.model_cfg), part)
            # safetensors writes files that only their owner can read.
            shutil.copymode(stated, part)


def to_open_clip(weights: Mapping[str, Tensor], model_cfg: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights under the names that open_clip's own class for the configuration has."""
    separate_text = model_cfg.get("custom_text") or "hf_model_name" in model_cfg["text_cfg"]
    return dict(weights) if separate_text else {name.removeprefix("text."): t for name, t in weights.items()}


def from_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of `Towers`."""
    ours = ("visual.", "text.", "logit_")
    return {name if name.startswith(ours) else f"text.{name}": t for name, t in weights.items()}


def _sync(folder: Path) -> None:
    """See that the files are on the disk before they are given their name."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
