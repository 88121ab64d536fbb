"""A learning-rate range test (Smith 2017): a few steps with a rate that grows, and what the loss does.

The loss falls while the rate is of use and climbs when it is too high. A run takes the rate at which half of
the fall was done: that of the lowest loss is often too high for a whole run, and less is kept of what the model knew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.distill import Distillation
from clipcli.commands.train.model import Trainee
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.trainer import Trainer

STEPS = 32
_LOWEST, _HIGHEST = 1e-5, 1e-2
# How much the mean of the losses so far weighs, against that of a step.
_INERTIA = 0.8
# A loss so many times the lowest has climbed: higher rates are not tried.
_CLIMBED = 1.5

Rate = tuple[float, float]


def range_test(
    trainee: Trainee, batches: Iterable[TrainBatch], *, runtime: Runtime, distillation: Distillation | None
) -> list[Rate]:
    """The rates that were tried, each with the mean loss of the last batches. The trainee stays as it is."""
    learns = {name: parameter.requires_grad for name, parameter in trainee.towers.named_parameters()}
    copied = trainee.copy()
    for name, parameter in copied.towers.named_parameters():
        parameter.requires_grad_(learns[name])
    found: list[Rate] = []
    mean, weight = 0.0, 0.0
    with torch.random.fork_rng(devices=[]):
        trainer = Trainer(
            replace(copied, config=replace(trainee.config, lr=1.0)),
            runtime=runtime,
            processes=Processes(),
            distillation=distillation,
        )
        copied.train_mode()
        for step, batch in enumerate(batches):
            rate = _LOWEST * (_HIGHEST / _LOWEST) ** (step / (STEPS - 1))
            loss = trainer.take_at(rate, step, batch)
            mean, weight = _INERTIA * mean + loss, _INERTIA * weight + 1
            found.append((rate, mean / weight))
            if not mean < float("inf") or found[-1][1] > _CLIMBED * min(value for _, value in found):
                break
    return found


def rate_from(found: Sequence[Rate]) -> float:
    """The rate for a run, to two digits: the first at which half of the fall to the lowest loss is done."""
    losses = [loss for _, loss in found]
    half = (losses[0] + min(losses)) / 2
    rate = next((rate for rate, loss in found if loss <= half), _LOWEST)
    return float(f"{rate:.2g}")
