"""How training goes: pairs, steps, validations, checkpoints and mixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PairsFound:
    """The number of pairs of images and captions to train on, and of those skipped while listing them."""

    count: int
    skipped: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """A training step is done, of `steps`; `loss` is that of all processes.

    `lr` is the current learning rate of a tower without one of its own. `logit_scale` is the factor itself.
    `images_per_second` is the recent throughput of all processes. `memory` is the peak in bytes of this process, or of
    its card, if it is known. `seconds` have passed and `seconds_left` remain, without validations.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    lr: float
    logit_scale: float
    grad_norm: float
    images_per_second: float
    memory: int | None
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Validated:
    """The metrics of a validation after a step, by name; shares are from 0 to 1."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint was saved completely."""

    step: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Mixed:
    """Measurements of a mix of starting weights and trained weights, by WiSE-FT (Wortsman et al. 2022).

    `alpha` is the share of the trained weights. `retention` is `None` if nothing was to be retained. `chosen` marks the
    mix that is kept.
    """

    alpha: float
    validation: float | None
    retention: float | None
    chosen: bool
