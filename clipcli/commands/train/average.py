"""The exponential moving average of the weights over all steps (after Polyak and Juditsky 1992)."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def update_average(average: nn.Module, learning: nn.Module, *, step: int, decay: float) -> None:
    """Move the average, in place, towards the weights that are learning, after `step` steps and one more.

    Batch norm's statistics are averaged too; integers, such as counters, are copied.
    """
    averages, weights = average.state_dict(), learning.state_dict()
    floats = [name for name, tensor in averages.items() if tensor.is_floating_point()]
    # Only what the state holds: an attention's mask is a buffer as well, and its infinities have no mean.
    move = get_ema_multi_avg_fn(decay_at(step, most=decay))  # type: ignore[no-untyped-call]
    move([averages[name] for name in floats], [weights[name] for name in floats], None)
    for name in averages.keys() - set(floats):
        averages[name].copy_(weights[name])


def decay_at(step: int, *, most: float) -> float:
    """The share that the average keeps in the step after `step` others: small at first, to forget early weights."""
    return min(most, (1 + step) / (10 + step))
