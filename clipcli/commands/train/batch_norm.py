"""Batch norm over the images of all processes, as if they were one batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from clipcli.backbones.towers import batch_norms
from clipcli.commands.train.processes import sum_over_processes
from clipcli.errors import UsageError


def synchronise_batch_norm(model: nn.Module, *, device: str) -> None:
    """Let batch norm take its statistics over the images of all processes, as if they were one batch.

    The layers are changed in place. Raises `UsageError` for a class of batch norm that is not known here.
    """
    from timm.layers import BatchNormAct2d, convert_sync_batchnorm

    classes: dict[type, Any] = {
        nn.BatchNorm2d: _SynchronisedBatchNorm,
        BatchNormAct2d: _with_activation(BatchNormAct2d),
    }
    norms = batch_norms(model)
    unknown = [type(norm).__name__ for norm in norms if type(norm) not in classes]
    if unknown:
        raise UsageError(f"{unknown[0]} of this model cannot be trained in several processes; train in one")
    if device == "cuda":
        convert_sync_batchnorm(model)
        return
    for norm in norms:
        # Only the class changes: weights, statistics and their names stay.
        norm.__class__ = classes[type(norm)]


class _SynchronisedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes on a CPU, which torch lacks. Each process must have equally many images."""

    def forward(self, input: Tensor) -> Tensor:
        return self.synchronised(input) if self.training else super().forward(input)

    def synchronised(self, input: Tensor) -> Tensor:
        """Feature maps `[b, C, H, W]`, normalised by the mean and variance over all processes."""
        maps, count = input.float(), dist.get_world_size()
        mean = sum_over_processes(maps.mean((0, 2, 3))) / count
        centred = maps - mean[:, None, None]
        variance = sum_over_processes(centred.square().mean((0, 2, 3))) / count
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach(), count=input.numel() // input.shape[1] * count)
        normalised = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(input)

    def _track(self, mean: Tensor, variance: Tensor, *, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)


def _with_activation(plain: Any) -> type[nn.Module]:
    """The class of timm's batch norm, with dropout and activation, over all processes."""

    class Synchronised(plain, _SynchronisedBatchNorm):  # type: ignore[misc]
        def forward(self, input: Tensor) -> Any:
            if not self.training:
                return plain.forward(self, input)
            return self.act(self.drop(self.synchronised(input)))  # type: ignore[operator]

    return Synchronised
