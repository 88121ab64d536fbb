"""The processes of one run, as `torchrun` starts them; a run by itself is a group of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn import functional as collective


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of the run: its `rank`, how many there are, and its card on this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """The rows `[b, …]` of all processes as `[B, …]`, in the order of ranks; gradients flow back to their own."""
        if self.count == 1:
            return values
        if values.requires_grad:
            return torch.cat(collective.all_gather(values))  # type: ignore[no-untyped-call]
        parts = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(parts, values)
        return torch.cat(parts)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes, without gradient."""
        if self.count == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process."""
        return any(self.collect(flag)) if self.count > 1 else flag

    def collect(self, thing: Any) -> list[Any]:
        """The same thing from every process, in the order of ranks."""
        if self.count == 1:
            return [thing]
        things: list[Any] = [None] * self.count
        dist.all_gather_object(things, thing)
        return things

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(*, device: str) -> Iterator[Processes]:
    """The group that `torchrun` describes in the environment, or a group of one; left when the block ends."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    processes = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        torch.cuda.set_device(processes.local_rank)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield processes
    finally:
        dist.destroy_process_group()


def synchronise_batch_norm(model: nn.Module, *, device: str) -> None:
    """Let batch norm take its statistics over the batches of all processes, as if they were one batch."""
    if device == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            # The class alone changes: weights, statistics and names stay.
            module.__class__ = _SynchronisedBatchNorm


class _SynchronisedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes on a processor, where torch has none; all have equally many images."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        images = input.float()
        moments = torch.stack([images.mean((0, 2, 3)), images.square().mean((0, 2, 3))])
        mean, square = collective.all_reduce(moments) / dist.get_world_size()  # type: ignore[no-untyped-call]
        variance = square - mean.square()
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach(), count=input.numel() // input.shape[1] * dist.get_world_size())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised: Tensor = images * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]
        return normalised.to(input)

    def _track(self, mean: Tensor, variance: Tensor, *, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)
