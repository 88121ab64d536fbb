"""The average of the weights of all steps, late ones first: better than the last (Polyak and Juditsky 1992)."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def follow(average: nn.Module, learning: nn.Module, *, step: int, decay: float) -> None:
    """Move the average towards the weights that the step after `step` others gave.

    What is no number with a point, such as a counter, is taken as it is; batch norm's statistics are averaged. At first
    the average follows closely, so that early weights do not weigh.
    """
    averages, weights = average.state_dict(), learning.state_dict()
    floats = [name for name, tensor in averages.items() if tensor.is_floating_point()]
    # Only what is saved is averaged: an attention's mask is a buffer too, and infinity has no mean.
    move = get_ema_multi_avg_fn(decay_at(step, most=decay))  # type: ignore[no-untyped-call]
    move([averages[name] for name in floats], [weights[name] for name in floats], None)
    for name in averages.keys() - set(floats):
        averages[name].copy_(weights[name])


def decay_at(step: int, *, most: float) -> float:
    """The share that the average keeps in the step after `step` others."""
    return min(most, (1 + step) / (10 + step))
