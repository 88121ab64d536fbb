"""The gradient of a batch's contrastive loss, in one pass through the towers or in two.

Two passes need the memory of one micro-batch: the first makes all embeddings and keeps nothing else, the loss gives
their gradient, and the second makes each micro-batch's embeddings again and hands that gradient on into the weights
(GradCache, Gao et al. 2021). The result is the gradient of the whole batch, but for batch norm, whose statistics are
those of a micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from clipcli.backbones.backbone import Preprocessing, normalised
from clipcli.backbones.towers import Towers, batch_norms
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.loss import Contrast, Features

_FEW_TOKENS = 128


class Encoder(nn.Module):
    """Both towers as one module with one call, which is what `DistributedDataParallel` wants."""

    def __init__(self, towers: Towers, *, preprocessing: Preprocessing, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.towers = towers
        self._preprocessing = preprocessing
        self._autocast = autocast

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The fields of `Features`, of uint8 pixels `[b, H, W, 3]` and token ids `[b, L]`."""
        reduced = self._autocast is not None
        with torch.autocast(pixels.device.type, self._autocast, enabled=reduced):
            quick = reduced and pixels.device.type == "cpu"
            with _attention(quick and _tokens(self.towers.visual) <= _FEW_TOKENS):
                images = self.towers.encode_image(normalised(pixels, self._preprocessing))
            with _attention(quick and tokens.shape[1] <= _FEW_TOKENS):
                texts = self.towers.encode_text(tokens)
        bias = self.towers.logit_bias
        # New tensors, because the wrapper for several processes looks for its own parameters in what comes out.
        return images, texts, self.towers.logit_scale.exp(), None if bias is None else bias * 1


def _attention(short: bool) -> AbstractContextManager[Any]:
    """The attention that learns fastest: for few tokens in bf16 on a processor the plain one.

    The backward pass of torch's fused one took 2 to 4 times as long up to 77 tokens, and half as long at 197.
    """
    return sdpa_kernel([SDPBackend.MATH]) if short else nullcontext()


def _tokens(visual: Any) -> float:
    """How many tokens an image is to a vision transformer of open_clip; infinite where that is not known."""
    embedding = getattr(visual, "positional_embedding", None)
    return math.inf if embedding is None else len(embedding)


Model = Encoder | DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Seeds:
    """Where the random numbers of a forward pass come from: dropout is a function of these, and can be repeated."""

    seed: int
    step: int
    rank: int

    def sow(self, part: int) -> None:
        """Set torch's generators for a micro-batch."""
        numbers = np.random.SeedSequence([self.seed, self.step, self.rank, part]).generate_state(1, np.uint64)
        torch.manual_seed(int(numbers[0]))


def backward(model: Model, batch: TrainBatch, *, contrast: Contrast, micro_batch: int | None, seeds: Seeds) -> Tensor:
    """Add the gradient of the batch's loss to the weights' `grad`; gives this process's part of the loss."""
    parts = list(zip(*(torch.split(t, micro_batch or len(t)) for t in (batch.pixels, batch.tokens)), strict=True))
    if len(parts) == 1:
        seeds.sow(0)
        loss = contrast(Features(*model(*parts[0])), batch.groups, batch.mix)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    loss, gradients = _embedding_gradients(model, parts, batch, contrast=contrast, seeds=seeds)
    sizes = [len(pixels) for pixels, _ in parts]
    shares = zip(parts, torch.split(gradients.images, sizes), torch.split(gradients.texts, sizes), strict=True)
    for n, (part, images, texts) in enumerate(shares):
        last = n == len(parts) - 1
        with nullcontext() if last else _unsynchronised(model):
            seeds.sow(n)
            made = Features(*model(*part))
            handed = (made.images * images).sum() + (made.texts * texts).sum()
            # The temperature and the bias are in every part's graph, and their gradient counts once.
            handed = handed + made.logit_scale * (gradients.logit_scale if last else 0)
            if made.logit_bias is not None and gradients.logit_bias is not None:
                handed = handed + made.logit_bias * (gradients.logit_bias if last else 0)
            handed.sum().backward()  # type: ignore[no-untyped-call]
    return loss


def _embedding_gradients(
    model: Model, parts: Sequence[tuple[Tensor, Tensor]], batch: TrainBatch, *, contrast: Contrast, seeds: Seeds
) -> tuple[Tensor, Features]:
    """The loss, and its gradient with regard to everything that the towers give."""
    encoder: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    made: list[Features] = []
    with torch.no_grad(), _statistics_kept(encoder):
        for n, part in enumerate(parts):
            seeds.sow(n)
            made.append(Features(*encoder(*part)))
    bias = made[0].logit_bias
    features = Features(
        images=torch.cat([f.images for f in made]).requires_grad_(),
        texts=torch.cat([f.texts for f in made]).requires_grad_(),
        logit_scale=made[0].logit_scale.detach().requires_grad_(),
        logit_bias=None if bias is None else bias.detach().requires_grad_(),
    )
    loss = contrast(features, batch.groups, batch.mix)
    loss.backward()  # type: ignore[no-untyped-call]
    bias = None if features.logit_bias is None else features.logit_bias.grad
    return loss.detach(), Features(_grad(features.images), _grad(features.texts), _grad(features.logit_scale), bias)


def _grad(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _unsynchronised(model: Model) -> AbstractContextManager[None]:
    """Gradients stay in this process until the last micro-batch."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norm uses the batch's statistics and does not count them: the second pass will."""
    norms = batch_norms(model)
    counted = [norm.track_running_stats for norm in norms]
    for norm in norms:
        # In evaluation the running statistics are what is used.
        norm.track_running_stats = not norm.training
    try:
        yield
    finally:
        for norm, tracks in zip(norms, counted, strict=True):
            norm.track_running_stats = tracks
