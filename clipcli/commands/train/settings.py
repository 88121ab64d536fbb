"""What a training run is told: one record, whose fields are flags, keys of a `train.yaml` and arguments of the API.

A field that is `None` was not given; `resolve` fills it in by what the run is: fine-tuning wants to keep what the model
knows, pretraining starts from nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipcli.backbones.devices import DEVICES
from clipcli.errors import UsageError, unknown

LOSSES = {
    "clip": "symmetric cross-entropy with a learned temperature, as CLIP was trained",
    "siglip": "every image with every caption by itself, as SigLIP was trained",
}
DUPLICATES = {
    "positive": "pairs of one caption or class are right answers for each other",
    "negative": "every other pair is a wrong answer, as in the plain losses",
}
NEGATIVES = {
    "all": "every pair of the batch that is not right",
    "data": "those of the same DATA, so that nothing is learned from how DATA differ, as in their compression",
}
AUGMENTS = {
    "none": "crops and mirror images only",
    "trivial": "one more change of colours or shape for each image, of any strength (TrivialAugment)",
}
TOWERS = {"image": "the image tower", "text": "the text tower"}
PRECISIONS = {"auto": "bf16 where the hardware has it, else fp32", "fp32": "exact", "bf16": "half the memory, faster"}


def setting(
    help: str,
    *,
    default: Any = None,
    metavar: str | None = None,
    choices: Mapping[str, str] | None = None,
    least: float | None = None,
    most: float | None = None,
    harmless: bool = False,
) -> Any:
    """A field of `TrainConfig`: its help, its valid values, and whether it may change when a run goes on."""
    stated = {
        "help": help,
        "metavar": metavar,
        "choices": choices,
        "least": least,
        "most": most,
        "harmless": harmless,
    }
    return field(default=default, metadata=stated)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """All settings of a training run. The help of each field says what it does and in which unit."""

    data: tuple[str, ...] = setting(
        "Images with captions, or folders of a class each (README: Train); PATH=0.3 for a share of each batch.",
        default=(),
        metavar="DATA",
    )
    output: str | None = setting("The run's folder: checkpoints, metrics, report, and in the end the model.")
    model: str | None = setting("The model to fine-tune: whatever classify --model takes.", metavar="M")
    arch: str | None = setting(
        "Pretrain from random weights: an architecture of open_clip, or a .json model configuration.", metavar="ARCH"
    )

    image_size: int | None = setting(
        "Train at images of N by N pixels, and leave a model for them. [default: the model's own size]", least=1
    )

    prompts: str | None = setting(
        "The prompt set for class folders, in DATA, --zero-shot and --retain. [default: imagenet]", metavar="P"
    )
    labels: str | None = setting("Names and aliases for the class folders of DATA.", metavar="FILE")
    image_column: str | None = setting("The column of a table that names the image.", metavar="NAME")
    caption_column: str | None = setting("The column of a table that holds the caption.", metavar="NAME")
    max_skipped: float = setting(
        "The share of pairs that may be skipped before the run stops.", default=0.05, least=0, most=1, harmless=True
    )

    epochs: float | None = setting(
        "How often every pair is seen. [default: 5 to fine-tune, 30 to pretrain]", least=0.001
    )
    steps: int | None = setting("How many batches to train on, in place of --epochs.", least=1)
    batch_size: int | None = setting(
        "Pairs in a batch, over all processes. [default: 128 to fine-tune, 512 to pretrain, or all there are]", least=2
    )
    micro_batch: int | None = setting(
        "Pairs that go through the model at once in a process; the gradient stays that of the whole batch, but for "
        "batch norm's statistics.",
        least=1,
        harmless=True,
    )
    seed: int = setting("The seed of all that is random.", default=0, least=0, most=2**63 - 1)

    loss: str | None = setting("The loss. [default: the model's own; clip to pretrain]", choices=LOSSES)
    duplicates: str = setting(
        "What two pairs of one caption or class are to each other.", default="positive", choices=DUPLICATES
    )
    negatives: str = setting(
        "Which other pairs of a batch are wrong answers: all, or those of the same DATA.",
        default="all",
        choices=NEGATIVES,
    )
    lr: float | None = setting(
        "The learning rate at its peak. "
        "[default: 1e-5 to fine-tune, 1e-4 with --lora; to pretrain 1e-3, and for batches below 512 less]",
        least=0,
    )
    image_lr: float | None = setting("The image tower's rate, where it differs.", least=0)
    text_lr: float | None = setting("The text tower's rate, where it differs.", least=0)
    warmup: int | None = setting(
        "Steps of linear warm-up before the cosine decay. [default: a tenth of all, 2000 at most]", least=0
    )
    weight_decay: float | None = setting(
        "Decoupled weight decay. [default: 0.1 to fine-tune, 0.2 to pretrain]", least=0
    )
    beta2: float | None = setting("AdamW's second beta. [default: 0.98, or 0.999 to fine-tune]", least=0, most=0.99999)
    grad_clip_norm: float = setting("The gradient's norm is clipped to this; 0 leaves it.", default=1.0, least=0)
    crop: float | None = setting(
        "The least share of its area that a random crop of an image keeps, if its shape allows; 1 leaves images whole. "
        "[default: 0.9 to fine-tune, 0.5 to pretrain]",
        least=0.01,
        most=1,
    )
    flip: bool | None = setting("Mirror images at random, half of them. [default: on]")
    augment: str = setting("What else is done to images at random.", default="none", choices=AUGMENTS)
    cutmix: float = setting(
        "The share of images of which a box shows another image, whose caption is then partly right as well.",
        default=0.0,
        least=0,
        most=1,
    )

    lock: str | None = setting("Leave a tower as it is (LiT locks the image tower).", choices=TOWERS)
    unlock_groups: int = setting(
        "The last N groups of layers of the locked tower learn all the same.", default=0, least=0
    )
    lora: int | None = setting(
        "Train low-rank changes (LoRA) of this rank in place of the weights.", metavar="RANK", least=1
    )
    average: float = setting(
        "Validate and save a moving average of the weights, and learn on beside it: its decay in a step, such as "
        "0.999; 0 is no average.",
        default=0.0,
        least=0,
        most=0.999999,
    )
    freeze_batch_norm: bool | None = setting("Keep batch norm's statistics as they are. [default: to fine-tune]")

    val: str | None = setting("Pairs to validate on: loss and recall.", metavar="DATA")
    zero_shot: str | None = setting("A class-per-folder tree to validate on: top-1 and top-5.", metavar="DIR")
    retain: str | None = setting("What the model should not forget: a class-per-folder tree, or pairs.", metavar="DATA")
    val_every: int | None = setting("Steps between validations. [default: an epoch]", least=1, harmless=True)
    wise_ft: str | None = setting(
        "Mix with the starting weights after training: a share from 0 to 1, or auto.", metavar="A"
    )
    retain_drop: float = setting("What --wise-ft auto may lose on --retain.", default=0.01, least=0, most=1)

    device: str = setting("Where to train.", default="auto", choices=DEVICES, harmless=True)
    precision: str = setting("How to compute; weights are kept in fp32.", default="auto", choices=PRECISIONS)
    workers: int | None = setting("Threads that decode images. [default: one a core]", least=1, harmless=True)
    grad_checkpoint: bool = setting("Compute activations twice in place of keeping them.", default=False, harmless=True)
    compile: bool = setting("Compile the model first: minutes, then faster.", default=False, harmless=True)

    save_every: int | None = setting("Steps between checkpoints. [default: an epoch]", least=1, harmless=True)
    keep_every: int | None = setting(
        "Keep the checkpoints at multiples of N steps, beside the last and the best.", least=1, harmless=True
    )
    log_every: int = setting("Steps between the lines of metrics.jsonl.", default=10, least=1, harmless=True)
    tensorboard: bool = setting("Write RUN/tensorboard as well.", default=False, harmless=True)

    @property
    def pretrains(self) -> bool:
        """Whether the run starts from random weights."""
        return self.arch is not None


FIELDS = {f.name: f for f in dataclasses.fields(TrainConfig)}


def flag(name: str) -> str:
    """How a field is written on the command line."""
    return f"--{name.replace('_', '-')}"


def configured(given: Mapping[str, Any]) -> TrainConfig:
    """The configuration with the given fields, each of its own type and in its range.

    Raises `UnknownName` for a field that there is not, and `UsageError` for a value that does not fit.
    """
    return TrainConfig(**{name: _checked(name, value) for name, value in given.items()})


def _checked(name: str, value: Any) -> Any:
    """The value as the field's type has it. Raises `UnknownName` or `UsageError`."""
    if name not in FIELDS:
        raise unknown("setting", name, FIELDS, see="clipcli train --help")
    if value is None:
        return FIELDS[name].default
    stated, kind = FIELDS[name].metadata, str(FIELDS[name].type).removesuffix(" | None")
    try:
        value = _TYPES[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{flag(name)} {value} is not {_KINDS[kind]}; see clipcli train --help") from None
    if stated["choices"] and value not in stated["choices"]:
        raise unknown(flag(name), value, stated["choices"])
    least, most = stated["least"], stated["most"]
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        raise UsageError(f"{flag(name)} {value} does not fit; give {bounds}")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


def _number(value: Any) -> float:
    # YAML takes 1e-3 for text.
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(value)
    return number


def _text(value: Any) -> str:
    if isinstance(value, dict | list | tuple | bool):
        raise TypeError(value)
    return str(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str | Path):
        return (str(value),)
    # YAML takes a folder called 2023 for a number.
    if not isinstance(value, list | tuple) or not all(
        type(text) in (str, int) or isinstance(text, Path) for text in value
    ):
        raise TypeError(value)
    return tuple(map(str, value))


_TYPES = {"int": _whole, "float": _number, "str": _text, "bool": _switch, "tuple[str, ...]": _texts}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "tuple[str, ...]": "a list of paths",
}
