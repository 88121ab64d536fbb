"""The trainer: takes optimizer steps on the model in all processes, and can be saved and restored."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.average import update_average
from clipcli.commands.train.batch_norm import synchronise_batch_norm
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.distill import Distillation
from clipcli.commands.train.gradient import Encoder, Model, Seeds, backward
from clipcli.commands.train.loss import BatchLoss, ContrastiveLoss
from clipcli.commands.train.model import Trainee, compile_towers
from clipcli.commands.train.optimizer import make_optimizer, set_learning_rates, step_optimizer
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.settings import TrainConfig
from clipcli.commands.train.too_large import MemoryTooSmall, too_large, unless_too_large
from clipcli.errors import UsageError

# The argument's name since torch 2.13, and the one before.
_ARGUMENTS = inspect.signature(DistributedDataParallel).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _ARGUMENTS else "broadcast_buffers"


@dataclass(frozen=True, slots=True)
class StepNumbers:
    """The numbers of a step: the mean loss over all processes, the gradient's norm before clipping, the logit scale.

    `stop` is true where a process was asked to stop. `chance` and `spread` are those of `BatchLoss`. `cut_captions`
    counts the captions of the whole batch that are longer than the context.
    """

    loss: float
    grad_norm: float
    logit_scale: float
    stop: bool
    chance: float
    spread: float
    cut_captions: int = 0


@dataclass(frozen=True, slots=True)
class TakenStep:
    """A step that was taken: its number from 1, and the time at its end by `time.perf_counter`.

    `numbers` `[7]` are the fields of `StepNumbers`, still on their way from the GPU until the event `ready`; the last
    is the mean over the `processes`.
    """

    number: int
    batch: TrainBatch
    lr: float
    numbers: Tensor
    ready: torch.cuda.Event | None
    time: float
    processes: int = 1

    def read(self) -> StepNumbers:
        """The numbers of the step; waits for them."""
        if self.ready is not None:
            self.ready.synchronize()
        loss, grad_norm, logit_scale, stop, chance, spread, cut = self.numbers.tolist()
        return StepNumbers(loss, grad_norm, logit_scale, stop > 0, chance, spread, round(cut * self.processes))


class Trainer:
    """The model that is trained, with its optimizer and the average of its weights.

    Raises `UsageError` where the processes cannot share the batch equally.
    """

    def __init__(
        self, trainee: Trainee, *, runtime: Runtime, processes: Processes, distillation: Distillation | None = None
    ) -> None:
        config = trainee.config
        self._distillation = distillation
        self.trainee, self._runtime, self._processes = trainee, runtime, processes
        if (config.batch_size or 0) % processes.count:
            raise UsageError(
                f"--batch-size {config.batch_size} cannot be shared by {processes.count} processes; give a multiple"
            )
        self._loss_function = ContrastiveLoss(config.loss or "clip", config.duplicates, config.negatives, processes)
        self._optimizer = make_optimizer(trainee.towers, config)
        self._average = trainee.copy() if config.average else None
        if config.compile:
            compile_towers(trainee.towers)
        self._model = self._wrapped_model()

    @property
    def config(self) -> TrainConfig:
        """The settings of the run."""
        return self.trainee.config

    @property
    def result(self) -> Trainee:
        """The model that is validated and saved: the average of the weights where there is one, else the trainee."""
        return self.trainee if self._average is None else self._average

    def take(self, step: int, batch: TrainBatch, *, stop: bool) -> TakenStep:
        """Take a step after `step` others, on this process's part of the batch; `stop` asks all processes to stop.

        Raises `MemoryTooSmall` where the memory does not hold it.
        """

        def failed(*, is_before_the_step: bool) -> MemoryTooSmall:
            pairs, kind = len(batch.pixels), self._runtime.kind
            return too_large(self.config, pairs=pairs, device=kind, is_before_the_step=is_before_the_step)

        loss = unless_too_large(lambda: self._backward(step, batch))
        if loss is None:
            self._optimizer.zero_grad(set_to_none=True)
            raise failed(is_before_the_step=True)
        taken = unless_too_large(lambda: self._step(step, batch, loss, stop=stop))
        if taken is None:
            raise failed(is_before_the_step=False)
        return taken

    def _backward(self, step: int, batch: TrainBatch) -> BatchLoss:
        """Add the gradient of the batch to the weights' `grad`."""
        loss = backward(
            self._model,
            batch.to(self._runtime.device),
            loss_function=self._loss_function,
            micro_batch=self.config.micro_batch,
            seeds=Seeds(self.config.seed, step, self._processes.rank),
        )
        if self._distillation is not None:
            self._distillation.add_gradient(self.trainee.towers, seed=self.config.seed, step=step)
        return loss

    def _step(self, step: int, batch: TrainBatch, batch_loss: BatchLoss, *, stop: bool) -> TakenStep:
        """Change the weights by their `grad`. A card is never waited for: what it gets from here are fills."""
        config = self.config
        share_of_peak = set_learning_rates(self._optimizer, step, config)
        scale = self.trainee.towers.logit_scale.detach().exp().reshape(())
        grad_norm = self._change()
        if self._average is not None:
            update_average(self._average.towers, self.trainee.towers, step=step, decay=config.average)
        loss = batch_loss.loss
        counts = [loss.new_full((), float(stop)), batch_loss.chance, batch_loss.spread]
        parts = [loss, grad_norm.to(loss), scale, *counts, loss.new_full((), float(batch.cut_captions))]
        numbers = self._processes.mean(torch.stack(parts))
        lr = (config.lr or 0.0) * share_of_peak
        return TakenStep(step + 1, batch, lr, *_to_host(numbers), time.perf_counter(), self._processes.count)

    def take_at(self, rate: float, step: int, batch: TrainBatch) -> float:
        """Take a step with this learning rate for all weights, after `step` others. Returns its loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._backward(step, batch).loss
        self._change()
        return float(loss)

    def _change(self) -> Tensor:
        """Change the weights by their `grad`. Returns its norm."""
        return step_optimizer(
            self._optimizer,
            self.trainee.towers,
            clip=self.config.grad_clip_norm,
            clamp_logit_scale=self.config.loss == "clip",
        )

    def end(self) -> Trainee:
        """The result of training with its adapters merged; no more steps can be taken."""
        self.trainee, self._average = self.result.merged(), None
        return self.trainee

    def state(self) -> dict[str, Any]:
        """Everything to save beside the weights of `result`, so that training goes on exactly."""
        state = {"optimizer": self._optimizer.state_dict(), "adapters": self.trainee.adapter_state()}
        if self._average is None:
            return state
        # With adapters, their state holds all weights.
        raw_weights = self.trainee.weights() if self.trainee.adapters is None else {}
        return {**state, "raw_weights": raw_weights, "average_adapters": self._average.adapter_state()}

    def restore(self, weights: dict[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint: the weights of `result` then, and a `state` that `self.state` gave."""
        if self._average is None:
            self.trainee.restore(weights, state["adapters"])
        else:
            self._average.restore(weights, state["average_adapters"])
            self.trainee.restore(state["raw_weights"], state["adapters"])
        self._optimizer.load_state_dict(state["optimizer"])

    def memory(self) -> int | None:
        """The peak memory in bytes: of the GPU, or on a CPU of the process; `None` for one on Windows."""
        if self._runtime.kind == "cuda":
            return torch.cuda.max_memory_allocated()
        try:
            import resource
        except ImportError:
            return None
        # Linux counts kilobytes, macOS bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def _wrapped_model(self) -> Model:
        """The towers as one module, which with several processes averages its gradients over them."""
        autocast = self._runtime.dtype if self._runtime.is_reduced else None
        towers = self.trainee.towers
        encoder = Encoder(towers, preprocessing=self.trainee.backbone.preprocessing, autocast=autocast)
        if self._processes.count == 1:
            return encoder
        synchronise_batch_norm(towers, device=self._runtime.kind)
        devices = [self._processes.local_rank] if self._runtime.kind == "cuda" else None
        options: dict[str, Any] = {"device_ids": devices, "gradient_as_bucket_view": True, _SYNC_BUFFERS: False}
        return DistributedDataParallel(encoder, **options)


def _to_host(numbers: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """The numbers in memory of the host, and the event after which a GPU has copied them there."""
    if numbers.device.type != "cuda":
        return numbers, None
    copied = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    copied.copy_(numbers, non_blocking=True)
    ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
    ready.record()
    return copied, ready
