"""The settings of a training run: flags, keys of a `train.yaml` and arguments of the API.

A field that is `None` was not given; `resolve` fills it in. Its value depends on the kind of run: fine-tuning keeps
most of what the model has learned, pretraining starts from random weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from clipcli.backbones.devices import DEVICES, NUMBERED
from clipcli.commands.encoding_settings import Decoding, Network
from clipcli.commands.shared_settings import Names, TableColumns
from clipcli.settings import AsNumberOrText, AsText, AsTexts, build_record, record, setting

LOSSES = {
    "clip": "symmetric cross-entropy with a learned temperature, as CLIP was trained",
    "siglip": "every image with every caption by itself, as SigLIP was trained",
}
DUPLICATES = {
    "positive": "pairs of one caption or class are right answers for each other",
    "class": "as positive, and a class is one answer however many of a batch are of it: its size is learned",
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
PRECISIONS = {
    "auto": "bf16 where the hardware has it, else fp32",
    "fp32": "exact",
    "tf32": "as fp32, but products have 10 bits; faster on recent NVIDIA cards",
    "bf16": "half the memory, faster",
}


@record
class TrainConfig(TableColumns, Names, Network, Decoding):
    """All settings of a training run."""

    command = "train"

    data: AsTexts = setting(default=(), kw_only=False, group="what", argument=True, metavar="DATA")
    """Images with captions, or folders of a class each (docs/train.md); PATH=0.3 for a share of each batch."""

    output: AsText = setting(default=None, group="output", metavar="RUN", short="-o")
    """The run's folder: checkpoints, metrics, report, and in the end the model."""

    model: AsText = setting(default=None, group="what", metavar="M")
    """The model to fine-tune: whatever classify --model takes."""

    arch: AsText = setting(default=None, group="what", metavar="ARCH")
    """Pretrain from random weights: an architecture of open_clip, or a .json model configuration."""

    image_size: int | None = setting(default=None, group="what", least=1, by_default="the model's own size")
    """Train at images of N by N pixels, and leave a model for them."""

    prompts: AsText = setting(default=None, group="what", metavar="P", by_default="imagenet")
    """The prompt set for class folders, in DATA, --zero-shot and --retain."""

    labels: AsText = setting(default=None, group="what", metavar="LABELS", noun="a labels file")
    """Names and aliases for the class folders of DATA, as classify --labels takes them."""

    max_skipped: float = setting(default=0.05, group="what", least=0, most=1, harmless=True, rare=True)
    """The share of pairs that may be skipped before the run stops."""

    epochs: float | None = setting(
        default=None,
        group="how",
        least=0.001,
        by_default="5 to fine-tune, 10 and 200 steps with --lock image; 30 to pretrain",
    )
    """How often every pair is seen."""

    steps: int | None = setting(default=None, group="how", least=1)
    """How many batches to train on, in place of --epochs."""

    batch_size: int | None = setting(
        default=None, group="how", least=2, by_default="128 to fine-tune, 512 to pretrain, or all there are"
    )
    """Pairs in a batch, over all processes."""

    micro_batch: int | None = setting(default=None, group="speed", least=1, harmless=True)
    """Pairs that go through the model at once in a process; the gradient stays that of the whole batch, but for
    batch norm's statistics."""

    seed: int = setting(default=0, group="how", least=0, most=2**63 - 1)
    """The seed of all that is random."""

    loss: str | None = setting(
        default=None, group="how", choices=LOSSES, by_default="the model's own; clip to pretrain"
    )
    """The loss."""

    duplicates: str = setting(default="positive", group="how", choices=DUPLICATES)
    """How two pairs of one caption or class count: as right answers for each other, or as wrong ones."""

    negatives: str = setting(default="all", group="how", choices=NEGATIVES)
    """Which other pairs of a batch are wrong answers: all, or those of the same DATA."""

    lr: float | None = setting(
        default=None,
        group="how",
        least=0,
        by_default="measured for small models, else 1e-5 to fine-tune, 1e-4 with --lora; to pretrain 1e-3, and for "
        "batches below 512 less",
    )
    """The learning rate at its peak."""

    image_lr: float | None = setting(default=None, group="how", least=0)
    """The image tower's rate, where it differs."""

    text_lr: float | None = setting(default=None, group="how", least=0)
    """The text tower's rate, where it differs."""

    warmup: int | None = setting(default=None, group="how", least=0, by_default="a tenth of all, 2000 at most")
    """Steps of linear warm-up before the cosine decay."""

    weight_decay: float | None = setting(
        default=None, group="how", least=0, by_default="0.1 to fine-tune, 0.2 to pretrain"
    )
    """Decoupled weight decay."""

    beta2: float | None = setting(
        default=None, group="how", least=0, most=0.99999, by_default="0.98, or 0.999 to fine-tune"
    )
    """AdamW's second beta."""

    grad_clip_norm: float = setting(default=1.0, group="how", least=0)
    """The gradient's norm is clipped to this; 0 leaves it."""

    crop: float | None = setting(
        default=None,
        group="how",
        least=0.01,
        most=1,
        by_default="0.9 to fine-tune, 0.5 to pretrain; 1 with --lock image",
    )
    """The least share of its area that a random crop of an image keeps, if its shape allows; 1 leaves images
    whole."""

    flip: bool | None = setting(default=None, group="how", by_default="on, but for --lock image")
    """Mirror images at random, half of them."""

    augment: str = setting(default="none", group="how", choices=AUGMENTS)
    """Further random changes of images."""

    cutmix: float = setting(default=0.0, group="how", least=0, most=1)
    """The share of images of which a box shows another image, whose caption is then partly right as well."""

    augment_views: int | None = setting(default=None, group="how", metavar="K", least=1)
    """With --lock image, encode K random views of each image once, and train on these (--crop, --flip, --augment)."""

    lock: str | None = setting(default=None, group="how", choices=TOWERS, by_default="measured for small models")
    """Leave a tower as it is (LiT locks the image tower); beside it whole images are encoded once."""

    unlock_groups: int = setting(default=0, group="how", least=0)
    """The last N groups of layers of the locked tower learn all the same."""

    lora: int | None = setting(default=None, group="how", metavar="RANK", least=1)
    """Train low-rank changes (LoRA) of this rank in place of the weights."""

    distill: float | None = setting(default=None, group="how", least=0, by_default="40 where the rate is measured")
    """How much the texts of 1,200 common words are held to the embeddings of the starting model, to forget less."""

    average: float = setting(default=0.0, group="how", least=0, most=0.999999)
    """Validate and save a moving average of the weights, and learn on beside it: its decay in a step, such as
    0.999; 0 is no average."""

    freeze_batch_norm: bool | None = setting(default=None, group="how", by_default="to fine-tune")
    """Keep batch norm's statistics as they are."""

    val: AsText = setting(default=None, group="checks", metavar="DATA")
    """Pairs to validate on: loss and recall."""

    zero_shot: AsText = setting(default=None, group="checks", metavar="DIR")
    """A class-per-folder tree to validate on: top-1 and top-5."""

    retain: AsText = setting(default=None, group="checks", metavar="DATA")
    """Data that the model should not forget: a class-per-folder tree, or pairs."""

    hold_out: float | None = setting(
        default=None, group="checks", least=0, most=0.5, by_default="0.1 to fine-tune without --val and --zero-shot"
    )
    """The share of DATA to validate on in place of learning from it."""

    patience: int | None = setting(
        default=None, group="checks", least=0, by_default="3 to fine-tune without --epochs and --steps"
    )
    """Validations in a row that are no better, after which the run ends; 0 takes all steps."""

    stop_on_collapse: bool = setting(default=False, group="checks", harmless=True)
    """End the run where all embeddings have become alike, which is only warned of otherwise."""

    val_every: int | None = setting(default=None, group="checks", least=1, harmless=True, by_default="an epoch")
    """Steps between validations."""

    wise_ft: AsNumberOrText = setting(default=None, group="checks", metavar="A")
    """Mix with the starting weights after training: a share from 0 to 1, or auto."""

    retain_drop: float = setting(default=0.01, group="checks", least=0, most=1)
    """How much --wise-ft auto may lose on --retain, as a share."""

    device: str = setting(default="auto", group="speed", choices=DEVICES, also=NUMBERED, harmless=True)
    """Where to train; cuda:1 is the second card."""

    precision: str = setting(default="auto", group="speed", choices=PRECISIONS)
    """How to compute; weights are kept in fp32."""

    workers: int | None = setting(default=None, group="speed", least=1, harmless=True, by_default="one a core")
    """Threads that decode images."""

    grad_checkpoint: bool = setting(default=False, group="speed", harmless=True)
    """Compute activations twice in place of keeping them."""

    compile: bool = setting(default=False, group="speed", harmless=True)
    """Compile the model first: minutes, then faster."""

    save_every: int | None = setting(default=None, group="output", least=1, harmless=True, by_default="an epoch")
    """Steps between checkpoints."""

    keep_every: int | None = setting(default=None, group="output", least=1, harmless=True)
    """Keep the checkpoints at multiples of N steps, beside the last and the best."""

    log_every: int | None = setting(
        default=None, group="output", least=1, harmless=True, by_default="10, or 1 where a run has 200 steps at most"
    )
    """Steps between the lines of metrics.jsonl."""

    tensorboard: bool = setting(default=False, group="output", harmless=True)
    """Write RUN/tensorboard as well."""

    @property
    def pretrains(self) -> bool:
        """True if the run starts from random weights."""
        return self.arch is not None

    @property
    def changes_images(self) -> bool:
        """True if images are changed at random; a crop that is not given yet is none."""
        return self.augment != "none" or self.cutmix > 0 or (self.crop or 1.0) < 1 or bool(self.flip)


@record
class TrainRequest(TrainConfig):
    """The settings of a run, and `resume`, which is not kept in its configuration."""

    resume: bool = setting(default=False, group="output")
    """Go on with the run in --output, from its last checkpoint; DATA may have moved, and --steps may be others."""


FIELDS = {f.name: f for f in dataclasses.fields(TrainConfig)}


def configured(settings: Mapping[str, Any]) -> TrainConfig:
    """Make a configuration from settings by name, with types and ranges checked. Raises as `build_record`."""
    return build_record(TrainConfig, settings)
