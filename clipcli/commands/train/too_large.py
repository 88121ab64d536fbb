"""A memory that does not hold a step of training, or what is to be saved: one line that says what helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from clipcli.commands.train.settings import TrainConfig
from clipcli.errors import ClipcliError, is_out_of_memory

Result = TypeVar("Result")


class MemoryTooSmall(ClipcliError):
    """The memory does not hold a step; `advice` are the flags that help.

    `is_before_the_step` is true while the weights are still those before the step.
    """

    def __init__(self, message: str, advice: str, *, is_before_the_step: bool) -> None:
        super().__init__(message)
        self.advice, self.is_before_the_step = advice, is_before_the_step


def unless_too_large(work: Callable[[], Result]) -> Result | None:
    """What the work returns, or `None` where the memory does not hold it: what it had allocated is free then."""
    try:
        return work()
    except (RuntimeError, MemoryError) as e:
        if not is_out_of_memory(e):
            raise
    # Here the error is gone, and with it the frames that kept activations.
    free_reserve()
    return None


def free_reserve() -> None:
    """Give back what torch holds of a card's memory and does not use."""
    # It does nothing where no card is in use.
    torch.cuda.empty_cache()


def too_large(config: TrainConfig, *, pairs: int, device: str, is_before_the_step: bool) -> MemoryTooSmall:
    """The error for a step on so many `pairs` of this process, on this kind of device."""
    where = "card's memory" if device == "cuda" else "memory"
    return MemoryTooSmall(
        f"the {where} does not hold a step with {min(config.micro_batch or pairs, pairs)} pairs at once",
        smaller_steps(config, pairs=pairs),
        is_before_the_step=is_before_the_step,
    )


def smaller_steps(config: TrainConfig, *, pairs: int) -> str:
    """The flags with which a step needs less memory: half as many pairs at once, or activations computed twice."""
    at_once = min(config.micro_batch or pairs, pairs)
    micro_batch = f"--micro-batch {max(1, at_once // 2)}"
    return micro_batch if at_once > 1 or config.grad_checkpoint else f"{micro_batch} --grad-checkpoint"
