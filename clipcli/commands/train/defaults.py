"""Default settings for fine-tuning and for pretraining."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from clipcli.classes.prompts import DEFAULT_PROMPTS
from clipcli.commands.train.settings import TrainConfig
from clipcli.errors import UsageError

# After Wortsman et al. 2022 (WiSE-FT) and Goyal et al. 2023 (FLYP): a small learning rate, few epochs, mild crops.
FINE_TUNE: dict[str, Any] = {
    "epochs": 5.0,
    "batch_size": 128,
    "lr": 1e-5,
    "weight_decay": 0.1,
    "beta2": 0.999,
    "crop": 0.9,
    "flip": True,
    "freeze_batch_norm": True,
}
# Radford et al. 2021 (CLIP), table 18, except for the batch size and the learning rate.
PRETRAIN: dict[str, Any] = {
    "epochs": 30.0,
    "batch_size": 512,
    "weight_decay": 0.2,
    "beta2": 0.98,
    "crop": 0.5,
    "flip": True,
    "freeze_batch_norm": False,
}
# Of a run of so few steps each is logged.
_FEW_STEPS = 200
_MOST_WARMUP, _WARMUP_SHARE = 2_000, 0.1
# LoRA learns best at about ten times the learning rate of full fine-tuning (Biderman et al. 2024).
_LORA_RATE = 1e-4
# The rate of open_clip's LAION-2B models.
_PRETRAIN_RATE = 1e-3


def resolve(config: TrainConfig, *, pairs: int, loss: str) -> TrainConfig:
    """Fill in the settings that are `None`, for a run on so many `pairs`; its `epochs` become `steps`.

    `loss` is the default of the model. Raises `UsageError` for a batch of one pair or of more than `pairs`, and if both
    `epochs` and `steps` are set.
    """
    if config.epochs is not None and config.steps is not None:
        raise UsageError("both --epochs and --steps were given; give one of them")
    filled = without_lengths(_with_defaults(config, {"loss": loss}))
    batch_size = config.batch_size or min(filled.batch_size or 1, pairs)
    if batch_size < 2:
        raise UsageError("a batch of one pair has nothing to tell apart; give more DATA")
    if batch_size > pairs:
        raise UsageError(f"--batch-size {batch_size} is larger than the data, {pairs:,} pairs; give {pairs} or less")
    epoch = pairs / batch_size
    steps = config.steps or max(1, round((filled.epochs or 0) * epoch))
    warmup = min(_MOST_WARMUP, math.ceil(_WARMUP_SHARE * steps))
    lengths: dict[str, Any] = {"warmup": warmup, "val_every": math.ceil(epoch), "save_every": math.ceil(epoch)}
    lengths["log_every"] = 1 if steps <= _FEW_STEPS else 10
    filled = dataclasses.replace(filled, batch_size=batch_size, steps=steps, epochs=None)
    if config.pretrains:
        # Adam's learning rate grows with the square root of the batch (Malladi et al. 2022), up to a bound.
        lengths["lr"] = _PRETRAIN_RATE * min(1.0, math.sqrt(batch_size / PRETRAIN["batch_size"]))
    return _with_defaults(filled, lengths)


def without_lengths(config: TrainConfig) -> TrainConfig:
    """Fill in the settings that do not depend on the number of pairs: all but lengths and, for pretraining, `lr`."""
    defaults = {"prompts": DEFAULT_PROMPTS} | (PRETRAIN if config.pretrains else FINE_TUNE)
    if config.lora is not None:
        defaults["lr"] = _LORA_RATE
    return _with_defaults(config, defaults)


def _with_defaults(config: TrainConfig, defaults: dict[str, Any]) -> TrainConfig:
    """The configuration with these defaults in place of settings that are `None`."""
    missing = {name: value for name, value in defaults.items() if getattr(config, name) is None}
    return dataclasses.replace(config, **missing)
