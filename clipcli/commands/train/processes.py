"""The processes of one run, as `torchrun` starts them, and what they exchange; a run by itself is a group of one."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from clipcli.commands.train.failures import Failures
from clipcli.errors import ClipcliError, UsageError, one_line

# The name since torch 2.13, and the one before.
_gather_into = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among the `count` processes of the run: its `rank`, and the index of its GPU on this machine.

    `restarted` is true where `torchrun --max-restarts` has started them again, as one of them had failed.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    restarted: bool = False

    @property
    def leads(self) -> bool:
        """True in the one process that writes files and reports progress."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """What messages call this process."""
        return f"process {self.rank} on {socket.gethostname()}"

    def own(self, count: int, *, whole: int = 1) -> slice:
        """This process's part of so many things, in the order of ranks; `whole` of them are never parted."""
        blocks = -(-count // whole)
        first, end = (blocks * rank // self.count * whole for rank in (self.rank, self.rank + 1))
        return slice(first, min(end, count))

    def gather(self, values: Tensor) -> Tensor:
        """The rows `[b, …]` of all processes as `[B, …]`, in the order of ranks; gradients flow back to theirs."""
        if self.count == 1:
            return values
        gathered: Tensor = _Gathered.apply(values, self.rank, self.count)
        return gathered

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

    def from_leading(self, value: Any) -> Any:
        """The value of the leading process, in all: dicts, lists and what is picklable, with tensors on the CPU."""
        if self.count == 1:
            return value
        device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
        tensors: list[Tensor] = []
        plain = _without_tensors(value, tensors) if self.leads else None
        described: list[Any] = [(plain, [(tensor.shape, tensor.dtype) for tensor in tensors])]
        dist.broadcast_object_list(described, src=0)
        plain, kinds = described[0]
        received = []
        # One by one, so that a card needs the memory of one.
        for n, (shape, dtype) in enumerate(kinds):
            sent = tensors[n].to(device).contiguous() if self.leads else torch.empty(shape, dtype=dtype, device=device)
            dist.broadcast(sent, src=0)
            received.append(sent.cpu())
        return value if self.leads else _with_tensors(plain, received)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait at the end of the block for all processes, and raise in all the `ClipcliError` that one of them raised.

        All must come to this block, and exchange nothing in it.
        """
        error: ClipcliError | None = None
        try:
            yield
        except ClipcliError as e:
            error = e
        found = self.gather_objects((self.name, error))
        failed = [(name, one) for name, one in found if one is not None]
        if not failed:
            return
        name, one = failed[0]
        if len(failed) < self.count:
            one = type(one)(f"{name}: {one}")
        raise self.alike(one)

    def alike(self, error: ClipcliError) -> ClipcliError:
        """An error that all processes raise, which the leading one says."""
        error.said_by_another = not self.leads
        return error


def local_process_count() -> int:
    """The number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group(*, device: str) -> Iterator[Processes]:
    """Join the group that `torchrun` describes in the environment, or make a group of one, until the block ends.

    An error in the block is told to the other processes, which end within some seconds. The group is taken apart at a
    normal end alone: after an error that would wait for processes that wait for this one. Raises `UsageError` for more
    processes than cards, and `ClipcliError` where another process has failed.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    processes = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        if processes.local_rank >= (cards := torch.cuda.device_count()):
            raise UsageError(f"{local_process_count()} processes are more than the {cards} cards here; start {cards}")
        torch.cuda.set_device(processes.local_rank)
    try:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
        # Only where a process had failed are restarts counted.
        restarted = any(processes.gather_objects(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"))
        key = processes.from_leading(f"clipcli/failed/{uuid.uuid4()}")
    except RuntimeError as e:
        raise ClipcliError(f"the processes of the run do not reach each other: {one_line(e)}; start them again") from e
    processes = replace(processes, restarted=restarted)
    failures = Failures(processes.name, key=key)
    try:
        # The store may be in a process: it stays until all have found it, and until all have ended.
        dist.barrier()
        yield processes
        dist.barrier()
    except BaseException as e:
        cause = failures.cause(e)
        if cause is None:
            raise
        raise processes.alike(cause) from e
    failures.stop()
    dist.destroy_process_group()


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over the processes; gradients are summed as well."""
    total: Tensor = _Summed.apply(values)
    return total


class _Gathered(torch.autograd.Function):
    """The rows of all processes; the gradient of a row is the sum of those that the processes have of it."""

    @staticmethod
    def forward(context: Any, values: Tensor, rank: int, count: int) -> Tensor:
        context.rows = slice(rank * len(values), (rank + 1) * len(values))
        gathered = values.new_empty((count * len(values), *values.shape[1:]))
        _gather_into(gathered, values.contiguous())
        return gathered

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[context.rows], None, None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Summed.forward(context, gradient)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor was, by its number."""

    number: int


def _without_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """The value with places in the place of tensors, which are added to the list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Place(len(tensors) - 1)
    if isinstance(value, dict):
        return {key: _without_tensors(one, tensors) for key, one in value.items()}
    return [_without_tensors(one, tensors) for one in value] if isinstance(value, list) else value


def _with_tensors(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, _Place):
        return tensors[value.number]
    if isinstance(value, dict):
        return {key: _with_tensors(one, tensors) for key, one in value.items()}
    return [_with_tensors(one, tensors) for one in value] if isinstance(value, list) else value
