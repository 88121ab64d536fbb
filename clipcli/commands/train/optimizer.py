"""AdamW in groups of its own rates and decay, with linear warm-up and cosine decay."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import AdamW

from clipcli.backbones.towers import Towers
from clipcli.commands.train.settings import TrainConfig

# ln 100: CLIP's bound on the logit scale, without which training gets unstable.
_MOST_LOGIT_SCALE = math.log(100)
_BETA1, _EPSILON = 0.9, 1e-6


def make_optimizer(towers: Towers, config: TrainConfig) -> AdamW:
    """AdamW over all weights that learn: a rate for each tower, and no decay for gains, biases and the temperature."""
    kinds: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in towers.named_parameters():
        if not parameter.requires_grad:
            continue
        # Gains are vectors, whatever their shape; some biases are tables.
        is_matrix = parameter.numel() > max(parameter.shape, default=1) and "bias" not in name
        decay = config.weight_decay if is_matrix else 0.0
        kinds.setdefault((_rate(name, config), decay or 0.0), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "peak": rate} for (rate, decay), parameters in kinds.items()
    ]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in towers.parameters())
    return AdamW(
        groups, lr=0.0, betas=(_BETA1, 0.999 if config.beta2 is None else config.beta2), eps=_EPSILON, fused=fused
    )


def set_rates(optimizer: AdamW, step: int, config: TrainConfig) -> float:
    """Set every group's rate for a step, which counts from 0; gives the share of the peak that it is."""
    share = share_of_peak(step, warmup=config.warmup or 0, steps=config.steps or 1)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
    return share


def share_of_peak(step: int, *, warmup: int, steps: int) -> float:
    """Linear up to 1 at the last of the `warmup` steps, then half a cosine that would be 0 at step `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def update(optimizer: AdamW, towers: Towers, *, clip: float, bound: bool = True) -> Tensor:
    """Take the step and forget the gradient, whose norm is clipped to `clip`, or with 0 left; gives the norm before.

    `bound` keeps the logit scale from 1 to 100.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if bound:
        with torch.no_grad():
            towers.logit_scale.clamp_(0, _MOST_LOGIT_SCALE)
    return norm


def _rate(name: str, config: TrainConfig) -> float:
    own = {"visual": config.image_lr, "text": config.text_lr}.get(name.split(".")[0])
    return (config.lr or 0.0) if own is None else own
