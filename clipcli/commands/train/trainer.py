"""One run in motion: the model in all its processes, its optimizer, and the state it goes on from."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.average import follow
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.checkpoints import Saved
from clipcli.commands.train.gradient import Encoder, Model, Seeds, backward
from clipcli.commands.train.loss import Contrast
from clipcli.commands.train.model import Trainee, compile_towers
from clipcli.commands.train.optimizer import make_optimizer, set_rates, update
from clipcli.commands.train.processes import Processes, synchronise_batch_norm
from clipcli.commands.train.settings import TrainConfig
from clipcli.errors import UsageError


@dataclass(frozen=True, slots=True)
class StepNumbers:
    """The numbers of a step: the mean loss over all processes, the gradient's norm before clipping, the logit scale.

    `stop` is true where a process was asked to stop.
    """

    loss: float
    grad_norm: float
    logit_scale: float
    stop: bool


@dataclass(frozen=True, slots=True)
class TakenStep:
    """A step that was taken: its number from 1, and the time at its end by `time.perf_counter`.

    `numbers` `[4]` are the fields of `StepNumbers`, still on their way from the GPU until the event `ready`.
    """

    number: int
    batch: TrainBatch
    lr: float
    numbers: Tensor
    ready: torch.cuda.Event | None
    time: float

    def read(self) -> StepNumbers:
        """The numbers of the step; waits for them."""
        if self.ready is not None:
            self.ready.synchronize()
        loss, grad_norm, logit_scale, stop = self.numbers.tolist()
        return StepNumbers(loss, grad_norm, logit_scale, stop > 0)


class Trainer:
    """Takes steps, and can be put back to where it was."""

    def __init__(self, trainee: Trainee, *, runtime: Runtime, processes: Processes) -> None:
        config = trainee.config
        self.trainee, self._runtime, self._processes = trainee, runtime, processes
        if (config.batch_size or 0) % processes.count:
            raise UsageError(
                f"--batch-size {config.batch_size} cannot be shared by {processes.count} processes; give a multiple"
            )
        self._contrast = Contrast(config.loss or "clip", config.duplicates, config.negatives, processes)
        self._optimizer = make_optimizer(trainee.towers, config)
        self._average = trainee.copy() if config.average else None
        if config.compile:
            compile_towers(trainee.towers)
        self._model = self._wrapped()

    @property
    def config(self) -> TrainConfig:
        """The settings of the run."""
        return self.trainee.config

    @property
    def result(self) -> Trainee:
        """The model that the run is for: the average of the weights where there is one, else those that learn."""
        return self.trainee if self._average is None else self._average

    def take(self, step: int, batch: TrainBatch, *, stop: bool) -> TakenStep:
        """The step after `step` others, on this process's part of its batch."""
        config = self.config
        share = set_rates(self._optimizer, step, config)
        here = batch.to(self._runtime.device)
        seeds = Seeds(config.seed, step, self._processes.rank)
        loss = backward(self._model, here, contrast=self._contrast, micro_batch=config.micro_batch, seeds=seeds)
        scale = self.trainee.towers.logit_scale.detach().exp().reshape(())
        norm = update(self._optimizer, self.trainee.towers, clip=config.grad_clip_norm, bound=config.loss == "clip")
        if self._average is not None:
            follow(self._average.towers, self.trainee.towers, step=step, decay=config.average)
        flag = torch.tensor(float(stop), device=loss.device)
        numbers = self._processes.mean(torch.stack([loss, norm.to(loss), scale, flag]))
        return TakenStep(step + 1, batch, (config.lr or 0.0) * share, *_on_its_way(numbers), time.perf_counter())

    def plain(self) -> Trainee:
        """The trained model with plain weights, when it has learned all it will."""
        self.trainee, self._average = self.result.plain(), None
        return self.trainee

    def state(self) -> dict[str, Any]:
        """What is needed to go on, beside the weights of `result`."""
        state = {"optimizer": self._optimizer.state_dict(), "learned": self.trainee.learned()}
        if self._average is None:
            return state
        # With adapters `learned` is all there is to restore.
        learning = self.trainee.weights() if self.trainee.adapters is None else {}
        return {**state, "learning": learning, "average_learned": self._average.learned()}

    def restore(self, saved: Saved, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint."""
        weights = saved.weights()
        if self._average is None:
            self.trainee.restore(weights, state["learned"])
        else:
            self._average.restore(weights, state["average_learned"])
            self.trainee.restore(state["learning"], state["learned"])
        self._optimizer.load_state_dict(state["optimizer"])

    def memory(self) -> int:
        """The most memory in bytes that the card, or on a processor the process, has had in use."""
        if self._runtime.device == "cuda":
            return torch.cuda.max_memory_allocated()
        # Linux counts kilobytes, macOS bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def _wrapped(self) -> Model:
        autocast = None if self._runtime.precision == "fp32" else self._runtime.dtype
        towers = self.trainee.towers
        encoder = Encoder(towers, preprocessing=self.trainee.backbone.preprocessing, autocast=autocast)
        if self._processes.count == 1:
            return encoder
        synchronise_batch_norm(towers, device=self._runtime.device)
        devices = [self._processes.local_rank] if self._runtime.device == "cuda" else None
        return DistributedDataParallel(
            encoder, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
        )


def _on_its_way(numbers: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Numbers under way from the card to the host, which need not wait for what the card does next."""
    if numbers.device.type != "cuda":
        return numbers, None
    here = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    here.copy_(numbers, non_blocking=True)
    ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
    ready.record()
    return here, ready
