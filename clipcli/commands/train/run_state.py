"""The state of a run between two steps: one record, which a checkpoint keeps beside the weights and the optimizer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipcli.commands.train.kept import is_better
from clipcli.commands.train.validation import headline
from clipcli.errors import BadFile


@dataclass(slots=True, kw_only=True)
class RunState:
    """How far a run has come. It is written by `dataclasses.asdict`, so a field added here is saved and restored."""

    identity: dict[str, str]
    """Hashes of the data and the model (`identity.identity_of`): a run goes on with the same ones only."""
    roots: tuple[str, ...]
    """The folder that all images of a DATA lie in, for each DATA: it may be another when the run goes on."""
    skipped: dict[str, str]
    """The pairs that were left out: the path of each image, and the reason."""
    steps: int = 0
    """Steps to take in all."""
    step: int = 0
    """Steps taken."""
    seconds: float = 0.0
    """Seconds spent, validations and checkpoints included, over all times the run was resumed."""
    loss: float = math.nan
    """The loss of the last step whose numbers were read."""
    cut_captions: int = 0
    """Captions drawn that were longer than the model's context."""
    alike_steps: int = 0
    """How many of the last steps looked like a collapse (`collapse.notice_collapse`)."""
    collapsed_step: int | None = None
    """The step at which the run was found to have collapsed; `None` where it has not, or not any more."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The metrics of the last validation, by name."""
    validated_step: int | None = None
    """The step of the last validation."""
    best_step: int | None = None
    """The step after the first with the best validation so far."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """The metrics of that step."""
    start_metrics: dict[str, float] = field(default_factory=dict)
    """The metrics before the first step."""
    no_better: int = 0
    """The validations since the best."""

    def add_validation(self, metrics: dict[str, float]) -> bool:
        """Keep the metrics of the model as it is after the last step. Returns true where it is the best step so far."""
        self.metrics, self.validated_step = metrics, self.step
        if self.step == 0:
            self.start_metrics = metrics
        if self.step == 0 or headline(metrics) is None:
            return False
        if not is_better(metrics, self.best_metrics):
            self.no_better += 1
            return False
        self.no_better = 0
        self.best_step, self.best_metrics = self.step, metrics
        return True


def state_from(saved: Mapping[str, Any], *, checkpoint: Path) -> RunState:
    """The state from its fields, as `dataclasses.asdict` gave them.

    Raises `BadFile`, which names the checkpoint, where the fields are others.
    """
    if saved.keys() != {f.name for f in dataclasses.fields(RunState)}:
        raise BadFile(f"{checkpoint} is of another version of clipcli; go on with that version, or start anew")
    return RunState(**saved)
