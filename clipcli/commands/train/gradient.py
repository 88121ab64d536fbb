"""The gradient of a batch's contrastive loss, in one pass through the towers, or with micro-batches in two.

Two passes need the memory of one micro-batch only (GradCache, Gao et al. 2021). The first computes all embeddings
without a graph, and the loss gives the gradient with regard to them. The second computes the embeddings of each
micro-batch again and backpropagates that gradient into the weights. The result is the gradient of the whole batch,
except that batch norm takes its statistics over a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clipcli.backbones.backbone import normalised
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.towers import Towers, batch_norms
from clipcli.commands.train.attention import attend_faster
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.loss import BatchLoss, ContrastiveLoss, Features
from clipcli.commands.train.recomputed import keeping_less


class Encoder(nn.Module):
    """Both towers as one module with one call, as `DistributedDataParallel` needs it; `autocast` is `None` for fp32."""

    def __init__(self, towers: Towers, *, preprocessing: Preprocessing, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.towers = towers
        self._preprocessing = preprocessing
        self._autocast = autocast
        if towers.logit_scale.device.type == "cpu":
            attend_faster(towers)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The fields of `Features` in their order, from uint8 pixels `[b, H, W, 3]` and token ids `[b, L]`.

        Embeddings `[b, D]` of images, float32, are taken as they are.
        """
        reduced = self._autocast is not None
        with torch.autocast(pixels.device.type, self._autocast, enabled=reduced), keeping_less():
            images = pixels
            if not pixels.is_floating_point():
                images = self.towers.encode_image(normalised(pixels, self._preprocessing))
            texts = self.towers.encode_text(tokens)
        bias = self.towers.logit_bias
        # New tensors: DistributedDataParallel must not find its own parameters among the outputs.
        return images, texts, self.towers.logit_scale.exp(), None if bias is None else bias * 1


Model = Encoder | DistributedDataParallel


@torch.no_grad()
def encode_batch(encoder: Encoder, batch: TrainBatch, *, micro_batch: int | None) -> Features:
    """The features of a batch, over micro-batches, without a graph; the model stays as it is."""
    parts = zip(*(torch.split(t, micro_batch or len(t)) for t in (batch.pixels, batch.tokens)), strict=True)
    with _running_statistics_kept(encoder):
        outputs = [Features(*encoder(*part)) for part in parts]
    return _joined(outputs)


def _joined(outputs: Sequence[Features]) -> Features:
    """The features of parts of a batch as one."""
    images, texts = torch.cat([f.images for f in outputs]), torch.cat([f.texts for f in outputs])
    return Features(images, texts, outputs[0].logit_scale, outputs[0].logit_bias)


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seed of the random numbers in a forward pass, such as dropout: both passes get the same ones."""

    seed: int
    step: int
    rank: int

    def seed_torch(self, micro_batch: int) -> None:
        """Seed torch's generators for a micro-batch, by its number from 0."""
        sequence = np.random.SeedSequence([self.seed, self.step, self.rank, micro_batch])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def backward(
    model: Model, batch: TrainBatch, *, loss_function: ContrastiveLoss, micro_batch: int | None, seeds: Seeds
) -> BatchLoss:
    """Add the gradient of the loss of the whole batch to the weights' `grad`, over micro-batches of so many pairs.

    Returns this process's part of the loss, without its graph; `micro_batch` is `None` for one pass.
    """
    parts = list(zip(*(torch.split(t, micro_batch or len(t)) for t in (batch.pixels, batch.tokens)), strict=True))
    if len(parts) == 1:
        seeds.seed_torch(0)
        loss = loss_function(Features(*model(*parts[0])), batch.groups, batch.mix)
        loss.loss.backward()  # type: ignore[no-untyped-call]
        return replace(loss, loss=loss.loss.detach())
    loss, gradients = _embedding_gradients(model, parts, batch, loss_function=loss_function, seeds=seeds)
    sizes = [len(pixels) for pixels, _ in parts]
    image_gradients, text_gradients = torch.split(gradients.images, sizes), torch.split(gradients.texts, sizes)
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        with nullcontext() if last else _unsynchronised(model):
            seeds.seed_torch(n)
            features = Features(*model(*part))
            # A sum whose gradient with regard to the features is the one that the loss gave.
            surrogate = (features.images * image_gradients[n]).sum() + (features.texts * text_gradients[n]).sum()
            # The logit scale and bias are in the graph of every micro-batch, and their gradient counts once.
            surrogate = surrogate + features.logit_scale * (gradients.logit_scale if last else 0)
            if features.logit_bias is not None and gradients.logit_bias is not None:
                surrogate = surrogate + features.logit_bias * (gradients.logit_bias if last else 0)
            surrogate.sum().backward()  # type: ignore[no-untyped-call]
    return loss


def _embedding_gradients(
    model: Model,
    parts: Sequence[tuple[Tensor, Tensor]],
    batch: TrainBatch,
    *,
    loss_function: ContrastiveLoss,
    seeds: Seeds,
) -> tuple[BatchLoss, Features]:
    """The loss, and its gradient with regard to the embeddings, the logit scale and the bias."""
    encoder: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    outputs: list[Features] = []
    with torch.no_grad(), _running_statistics_kept(encoder):
        for n, part in enumerate(parts):
            seeds.seed_torch(n)
            outputs.append(Features(*encoder(*part)))
    joined = _joined(outputs)
    bias = joined.logit_bias
    features = Features(
        images=joined.images.requires_grad_(),
        texts=joined.texts.requires_grad_(),
        logit_scale=joined.logit_scale.detach().requires_grad_(),
        logit_bias=None if bias is None else bias.detach().requires_grad_(),
    )
    loss = loss_function(features, batch.groups, batch.mix)
    loss.loss.backward()  # type: ignore[no-untyped-call]
    bias = None if features.logit_bias is None else features.logit_bias.grad
    detached = replace(loss, loss=loss.loss.detach())
    return detached, Features(_grad(features.images), _grad(features.texts), _grad(features.logit_scale), bias)


def _grad(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _unsynchronised(model: Model) -> AbstractContextManager[None]:
    """Add gradients up in this process alone; after the last micro-batch the sum is averaged over processes."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


@contextmanager
def _running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Keep batch norm in training mode from changing its running statistics: the second pass changes them."""
    norms = batch_norms(model)
    before = [norm.track_running_stats for norm in norms]
    for norm in norms:
        # In evaluation mode it must use its running statistics.
        norm.track_running_stats = not norm.training
    try:
        yield
    finally:
        for norm, tracks in zip(norms, before, strict=True):
            norm.track_running_stats = tracks
