"""The processes of one run, as `torchrun` starts them, and what they exchange; a run by itself is a group of one."""

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

from clipcli.backbones.towers import batch_norms
from clipcli.errors import ClipcliError, UsageError


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among the `count` processes of the run: its `rank`, and the index of its GPU on this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """True in the one process that writes files and reports progress."""
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """The rows `[b, …]` of all processes as `[B, …]`, in the order of ranks; gradients flow back to theirs."""
        if self.count == 1:
            return values
        if values.requires_grad:
            return torch.cat(collective.all_gather(values))  # type: ignore[no-untyped-call]
        parts = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(parts, values)
        return torch.cat(parts)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes, without gradient."""
        if self.count == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def gather_objects(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of ranks; they must be picklable."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def raise_in_all(self, error: ClipcliError | None) -> None:
        """Wait for all processes, and where one of them has an error raise it in all."""
        for found in self.gather_objects(error):
            if found is not None:
                raise found

    def wait(self) -> None:
        """Wait until all processes have come to this call."""
        if self.count > 1:
            dist.barrier()


def local_process_count() -> int:
    """The number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group(*, device: str) -> Iterator[Processes]:
    """Join the group that `torchrun` describes in the environment, or make a group of one, until the block ends."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
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
        mean = _sum_over_processes(maps.mean((0, 2, 3))) / count
        centred = maps - mean[:, None, None]
        variance = _sum_over_processes(centred.square().mean((0, 2, 3))) / count
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


def _sum_over_processes(values: Tensor) -> Tensor:
    total: Tensor = collective.all_reduce(values)  # type: ignore[no-untyped-call]
    return total
