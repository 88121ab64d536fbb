"""AdamW with its learning rates: one for each tower, with linear warm-up and cosine decay."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import AdamW

from clipcli.backbones.towers import Towers
from clipcli.commands.train.settings import TrainConfig

# CLIP keeps the logit scale below 100, for training gets unstable above.
_MOST_LOGIT_SCALE = math.log(100)
_BETA1, _EPSILON = 0.9, 1e-6


def make_optimizer(towers: Towers, config: TrainConfig) -> AdamW:
    """AdamW over all weights that require a gradient.

    Each tower has a learning rate of its own. Only matrices and kernels decay, not gains, biases and the logit scale.
    """
    by_rate_and_decay: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in towers.named_parameters():
        if not parameter.requires_grad:
            continue
        # A gain may be a vector in the shape of a matrix, and a bias a matrix.
        is_matrix = parameter.numel() > max(parameter.shape, default=1) and "bias" not in name
        decay = config.weight_decay if is_matrix else 0.0
        by_rate_and_decay.setdefault((_peak_rate(name, config), decay or 0.0), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "peak": rate}
        for (rate, decay), parameters in by_rate_and_decay.items()
    ]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in towers.parameters())
    return AdamW(
        groups, lr=0.0, betas=(_BETA1, 0.999 if config.beta2 is None else config.beta2), eps=_EPSILON, fused=fused
    )


def set_learning_rates(optimizer: AdamW, step: int, config: TrainConfig) -> float:
    """Set the learning rates for a step, which counts from 0. Returns the share of their peak that they are."""
    share = share_of_peak(step, warmup=config.warmup or 0, steps=config.steps or 1)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
    return share


def share_of_peak(step: int, *, warmup: int, steps: int) -> float:
    """The learning rate as a share of its peak: linear up to 1 at the last of the `warmup` steps, then half a cosine.

    The cosine would be 0 at step `steps`, the first after the run.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def step_optimizer(optimizer: AdamW, towers: Towers, *, clip: float, clamp_logit_scale: bool = True) -> Tensor:
    """Clip the gradient's norm to `clip`, take the step, and drop the gradient. Returns the norm before, a scalar.

    A `clip` of 0 leaves the gradient as it is. With `clamp_logit_scale` the logit scale is kept from 1 to 100.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if clamp_logit_scale:
        with torch.no_grad():
            towers.logit_scale.clamp_(0, _MOST_LOGIT_SCALE)
    return norm


def _peak_rate(name: str, config: TrainConfig) -> float:
    own = {"visual": config.image_lr, "text": config.text_lr}.get(name.split(".")[0])
    return (config.lr or 0.0) if own is None else own
