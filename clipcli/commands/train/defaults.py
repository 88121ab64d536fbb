"""Default settings for fine-tuning and for pretraining."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from clipcli.classes.prompts import DEFAULT_PROMPTS
from clipcli.commands.train.settings import TrainConfig
from clipcli.errors import UsageError

# The small rate of the field for all weights.
FIELD_RATE = 1e-5
# After Wortsman et al. 2022 (WiSE-FT) and Goyal et al. 2023 (FLYP): a small learning rate, few epochs, mild crops.
FINE_TUNE: dict[str, Any] = {
    "epochs": 5.0,
    "batch_size": 128,
    "lr": FIELD_RATE,
    "weight_decay": 0.1,
    "beta2": 0.999,
    "crop": 0.9,
    "flip": True,
    "freeze_batch_norm": True,
}
# Beside a locked image tower each image is encoded once, whole, so that an epoch costs little.
STORED: dict[str, Any] = {"lock": "image", "crop": 1.0, "flip": False}
_STORED_EPOCHS, _STORED_STEPS = 10.0, 200
# How much texts are held to the start where the rate is measured; chosen by measurement (docs/train.md).
DISTILL = 40.0
HOLD_OUT = 0.1
# Of the steps of a run whose length was not given, so many parts end with a validation; and it ends early after so many
# that are no better.
_VALIDATIONS, _PATIENCE = 8, 3
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
# What is left open until it is measured.
_MEASURED = ("lr", "lock", "crop", "flip", "epochs")
# Of a run of so few steps each is logged.
_FEW_STEPS = 200
_MOST_WARMUP, _WARMUP_SHARE = 2_000, 0.1
# LoRA learns best at about ten times the learning rate of full fine-tuning (Biderman et al. 2024).
_LORA_RATE = 1e-4
# The rate of open_clip's LAION-2B models.
_PRETRAIN_RATE = 1e-3


def is_open(config: TrainConfig) -> bool:
    """True for fine-tuning without a word on how: then the rate and what learns are chosen by measurement.

    A rate, adapters, a locked text tower, or random changes of images say how, but for views that are encoded once.
    """
    rates = (config.lr, config.image_lr, config.text_lr, config.lora)
    said = any(value is not None for value in rates) or config.lock == "text" or config.unlock_groups > 0
    changed = config.changes_images and config.augment_views is None
    return not (config.pretrains or said or changed or config.average)


def resolve(config: TrainConfig, *, pairs: int, loss: str) -> TrainConfig:
    """Fill in the settings that are `None`, for a run on so many `pairs`; its `epochs` become `steps`.

    Where they are open (`is_open`), rate, lengths and what follows from them stay `None`. `loss` is the default of the
    model. Raises `UsageError` for a batch of one pair or of more than `pairs`, for both `epochs` and `steps`, and for
    views of images that cannot be kept.
    """
    _check_views(config)
    if config.epochs is not None and config.steps is not None:
        raise UsageError("both --epochs and --steps were given; give one of them")
    filled = with_defaults(without_lengths(config), {"loss": loss})
    if config.steps is not None:
        filled = dataclasses.replace(filled, epochs=None)
    batch_size = config.batch_size or min(filled.batch_size or 1, pairs)
    if batch_size < 2:
        raise UsageError("a batch of one pair has nothing to tell apart; give more DATA")
    if batch_size > pairs:
        raise UsageError(f"--batch-size {batch_size} is larger than the data, {pairs:,} pairs; give {pairs} or less")
    filled = dataclasses.replace(filled, batch_size=batch_size)
    if is_open(config):
        return filled
    if config.pretrains:
        # Adam's learning rate grows with the square root of the batch (Malladi et al. 2022), up to a bound.
        rate = _PRETRAIN_RATE * min(1.0, math.sqrt(batch_size / PRETRAIN["batch_size"]))
        filled = with_defaults(filled, {"lr": rate})
    return _with_lengths(filled, epoch=pairs / batch_size, given=bool(config.steps or config.epochs))


def _check_views(config: TrainConfig) -> None:
    if config.augment_views is None:
        return
    if config.lock != "image" or config.unlock_groups or config.cutmix:
        raise UsageError(
            "--augment-views is for --lock image without --unlock-groups and --cutmix: images are encoded once"
        )
    if config.augment_views > 1 and not config.changes_images:
        raise UsageError("--augment-views has views that do not differ; give --crop 0.9, --flip or --augment as well")


def _with_lengths(config: TrainConfig, *, epoch: float, given: bool) -> TrainConfig:
    """Fill in the number of steps, and what depends on it; an `epoch` is so many steps. `given` says that it was."""
    tuned = not config.pretrains
    steps = config.steps or max(1, round((config.epochs or 0) * epoch))
    every = math.ceil(epoch)
    stored = {name: getattr(config, name) for name in STORED} == STORED or config.augment_views is not None
    if tuned and not given and stored:
        steps = max(_STORED_STEPS, round(_STORED_EPOCHS * epoch))
        every = math.ceil(steps / _VALIDATIONS)
    lengths: dict[str, Any] = {"warmup": min(_MOST_WARMUP, math.ceil(_WARMUP_SHARE * steps))}
    lengths |= {"val_every": every, "save_every": every, "log_every": 1 if steps <= _FEW_STEPS else 10}
    lengths |= {"patience": _PATIENCE if tuned and not given else 0, "distill": 0.0}
    return with_defaults(dataclasses.replace(config, steps=steps, epochs=None), lengths)


def without_lengths(config: TrainConfig) -> TrainConfig:
    """Fill in the settings that depend neither on the number of pairs nor on measurements."""
    defaults = {"prompts": DEFAULT_PROMPTS} | (PRETRAIN if config.pretrains else FINE_TUNE)
    if config.lora is not None:
        defaults["lr"] = _LORA_RATE
    if config.lock == "image" and not config.unlock_groups and not config.pretrains:
        defaults |= STORED
    defaults["hold_out"] = 0.0 if config.pretrains or config.val or config.zero_shot else HOLD_OUT
    left = _MEASURED if is_open(config) else ()
    return with_defaults(config, {name: value for name, value in defaults.items() if name not in left})


def with_defaults(config: TrainConfig, defaults: dict[str, Any]) -> TrainConfig:
    """The configuration with these defaults in place of settings that are `None`."""
    missing = {name: value for name, value in defaults.items() if getattr(config, name) is None}
    return dataclasses.replace(config, **missing)
