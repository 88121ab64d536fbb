"""The model to train: loaded or with random weights, with the towers, layers or adapters chosen that learn."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from clipcli import backbones
from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.load import initialise, load
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import Towers, batch_norms
from clipcli.commands.train.image_size import at_image_size, check_image_size
from clipcli.commands.train.settings import TrainConfig
from clipcli.errors import BadFile, MissingExtra, UsageError, install
from clipcli.events import Event
from clipcli.offline import offline

# The initial bias, and logit scale as a logarithm, of SigLIP (Zhai et al. 2023, section 3.2).
_SIGLIP_BIAS, _SIGLIP_LOGIT_SCALE = -10, 2.302585
_MODULES_WITH_WEIGHTS = (nn.Linear, nn.MultiheadAttention, nn.Conv2d)


@dataclass(frozen=True, slots=True)
class Trainee:
    """A model to train, in float32 on its device. With LoRA `adapters` is peft's wrapper around its towers."""

    backbone: Backbone
    architecture: Architecture
    config: TrainConfig
    adapters: Any = None

    @property
    def towers(self) -> Towers:
        """The towers of the backbone."""
        return self.backbone.towers

    def train_mode(self) -> None:
        """Go into training mode. A locked tower, and batch norm that is frozen, stay in evaluation mode."""
        self.towers.train()
        if self.config.lock is not None and not self.config.unlock_groups:
            _tower(self.towers, self.config.lock).eval()
        for module in batch_norms(self.towers):
            if self.config.freeze_batch_norm or not module.weight.requires_grad:
                module.eval()

    def for_evaluation(self) -> Backbone:
        """The backbone as it is now, in evaluation mode; call `train_mode` before training goes on."""
        self.towers.eval()
        bias = self.towers.logit_bias
        return replace(
            self.backbone,
            logit_scale=float(self.towers.logit_scale.exp().item()),
            logit_bias=None if bias is None else float(bias.item()),
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights on the CPU, with adapters merged, under the names of `Towers`."""
        towers = copy.deepcopy(self.adapters).merge_and_unload() if self.adapters is not None else self.towers
        return {name: t.detach().to("cpu", copy=True).contiguous() for name, t in towers.state_dict().items()}

    def copy(self) -> Trainee:
        """A copy of the model that shares no weights with it."""
        if self.adapters is None:
            return replace(self, backbone=replace(self.backbone, towers=copy.deepcopy(self.towers)))
        adapters = copy.deepcopy(self.adapters)
        return replace(self, backbone=replace(self.backbone, towers=adapters.get_base_model()), adapters=adapters)

    def merged(self) -> Trainee:
        """The model with its adapters merged into the weights, after which it cannot be trained on."""
        if self.adapters is None:
            return self
        return replace(self, backbone=replace(self.backbone, towers=self.adapters.merge_and_unload()), adapters=None)

    def summary(self) -> dict[str, Any]:
        """The model's name, its number of parameters, and the number of those that learn."""
        return {
            "model": self.backbone.name,
            "parameters": sum(p.numel() for p in self.towers.parameters()),
            "trained_parameters": sum(p.numel() for p in self.towers.parameters() if p.requires_grad),
        }

    def adapter_state(self) -> dict[str, Tensor]:
        """All weights with the adapters apart from them, on the CPU; empty without adapters.

        Weights that do not learn are needed too: peft adds an attention's adapters to its weights and subtracts them
        again in each step, and the rounding errors of that stay.
        """
        return {} if self.adapters is None else {name: t.cpu() for name, t in self.towers.state_dict().items()}

    def restore(self, weights: dict[str, Tensor], adapter_state: dict[str, Tensor]) -> None:
        """Load what `self.weights` gave, or with adapters what `self.adapter_state` gave."""
        self.towers.load_state_dict(weights if self.adapters is None else adapter_state)


def find_start(config: TrainConfig) -> Generator[Event, None, Architecture]:
    """The checkpoint of `--model`, or the architecture of `--arch`, for images of `--image-size`.

    Raises `UsageError` where neither or both were given, for a CoCa model, and for a size that does not fit.
    """
    if (config.model is None) == (config.arch is None):
        given = "neither --model nor --arch was" if config.model is None else "both --model and --arch were"
        raise UsageError(f"{given} given; give --model M to fine-tune, or --arch ARCH to pretrain")
    if config.arch is not None:
        architecture = find_architecture(config.arch)
    else:
        with offline(config.offline):
            architecture = yield from backbones.find(config.model or "")()
    if "multimodal_cfg" in architecture.model_cfg:
        raise UsageError(f"{architecture.name} is a CoCa model, whose captioner clipcli does not train; choose another")
    return architecture if config.image_size is None else at_image_size(architecture, config.image_size)


def default_loss(architecture: Architecture) -> str:
    """The default loss for an architecture: `siglip` where it has a logit bias, else `clip`."""
    return "clip" if architecture.model_cfg.get("init_logit_bias") is None else "siglip"


def load_trainee(start: Architecture, config: TrainConfig, *, runtime: Runtime) -> Trainee:
    """Load the model of a checkpoint, or initialise an architecture, and choose the weights that learn.

    Raises the errors of `backbones.load`, `UsageError` for settings that do not fit, and `MissingExtra` for LoRA.
    """
    fp32 = replace(runtime, precision="fp32")
    # For random weights, of the model and of adapters.
    torch.manual_seed(config.seed)
    with offline(config.offline):
        if isinstance(start, backbones.Checkpoint):
            backbone = load(start, runtime=fp32, resize=config.image_size is not None)
            start = _fit_bias(start, backbone.towers, config)
        else:
            start = _with_bias_for_loss(start, config)
            backbone = initialise(start, runtime=fp32)
    _check_vocabulary(backbone, start)
    if config.image_size is not None:
        check_image_size(backbone, config.image_size)
    if config.unlock_groups and config.lock is None:
        raise UsageError("--unlock-groups goes with --lock; give --lock image or --lock text")
    towers = backbone.towers
    lock(Trainee(backbone, start, config))
    adapters = None if config.lora is None else _add_adapters(towers, rank=config.lora)
    if config.grad_checkpoint:
        for tower in (towers.visual, towers.text):
            tower.set_grad_checkpointing(True)  # type: ignore[union-attr, operator]
    return Trainee(backbone, start, config, adapters)


def lock(trainee: Trainee) -> Trainee:
    """Let all weights learn but those that `--lock` leaves as they are. Returns the trainee."""
    config, towers = trainee.config, trainee.towers
    towers.requires_grad_(True)
    if config.lock is not None:
        _lock_tower(_tower(towers, config.lock), config.unlock_groups)
    return trainee


def compile_towers(towers: Towers) -> None:
    """Compile both towers in place with torch.compile; the text tower takes texts of any length."""
    _tower(towers, "image").compile()
    text = getattr(towers.text, "transformer", _tower(towers, "text"))
    text.compile(dynamic=True)


def _with_bias_for_loss(architecture: Architecture, config: TrainConfig) -> Architecture:
    """The architecture with a logit bias for SigLIP's loss, or without one for CLIP's, which would not train it."""
    if config.loss != "siglip":
        has_bias = architecture.model_cfg.get("init_logit_bias") is not None
        return _without_bias(architecture) if has_bias else architecture
    siglip = {"init_logit_bias": _SIGLIP_BIAS, "init_logit_scale": _SIGLIP_LOGIT_SCALE}
    stated = {name: value for name, value in architecture.model_cfg.items() if value is not None}
    # open_clip's configurations of SigLIP state the bias alone; its training program sets the scale as well.
    return replace(architecture, model_cfg={**siglip, **stated})


def _without_bias(architecture: Architecture) -> Architecture:
    return replace(architecture, model_cfg={**architecture.model_cfg, "init_logit_bias": None})


def _fit_bias(start: Architecture, towers: Towers, config: TrainConfig) -> Architecture:
    """Give loaded towers a logit bias for SigLIP's loss, or remove it for CLIP's. Returns the architecture to match."""
    if config.loss != "siglip":
        if towers.logit_bias is None:
            return start
        towers.logit_bias = None
        return _without_bias(start)
    if towers.logit_bias is not None:
        return start
    scale = towers.logit_scale
    towers.logit_bias = nn.Parameter(torch.full_like(scale, _SIGLIP_BIAS))
    return replace(start, model_cfg={**start.model_cfg, "init_logit_bias": _SIGLIP_BIAS})


def _tower(towers: Towers, name: str) -> nn.Module:
    tower = towers.visual if name == "image" else towers.text
    if tower is None:
        raise RuntimeError(f"the {name} tower was not loaded")
    return tower


def _check_vocabulary(backbone: Backbone, architecture: Architecture) -> None:
    """Raise `BadFile` where the tokenizer gives ids that are outside the vocabulary of the text tower."""
    size = architecture.model_cfg["text_cfg"].get("vocab_size")
    largest = int(backbone.tokenizer(["a photo"]).max())
    if size is not None and "hf_model_name" not in architecture.model_cfg["text_cfg"] and largest >= size:
        raise BadFile(
            f"{architecture.name} has a vocab_size of {size}, and its tokenizer gives {largest}; make it larger"
        )


def _lock_tower(tower: Any, unlocked: int) -> None:
    """Lock a tower but for its last `unlocked` groups of layers (LiT, Zhai et al. 2022)."""
    tower.requires_grad_(False)
    if not unlocked:
        return
    tower.requires_grad_(True)
    try:
        # Some towers of open_clip print what they do.
        with contextlib.redirect_stdout(io.StringIO()):
            tower.lock(unlocked)
    except AssertionError:
        # open_clip has no groups for its ResNets; their stages are their children.
        stages = [child for child in tower.children() if any(True for _ in child.parameters())]
        for stage in stages[:-unlocked]:
            stage.requires_grad_(False)


def _add_adapters(towers: Towers, *, rank: int) -> Any:
    """Wrap the towers with low-rank adapters (LoRA, Hu et al. 2022) for all matrices and kernels, by peft.

    Only the adapters, the logit scale and the bias learn then. Raises `MissingExtra` where peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise MissingExtra(f"--lora needs peft; run {install('peft')}")
    from peft import LoraConfig, get_peft_model

    frozen = {name for name, parameter in towers.named_parameters() if not parameter.requires_grad}
    targets = [
        name
        for name, module in towers.named_modules()
        # torch reads these projections of an attention as plain weights, so an adapter would have no effect.
        if isinstance(module, _MODULES_WITH_WEIGHTS) and not name.endswith("out_proj") and ".attnpool." not in name
        # Depthwise kernels are too small for a low rank.
        if getattr(module, "groups", 1) == 1
        if not any(f"{name}.{parameter}" in frozen for parameter, _ in module.named_parameters())
    ]
    adapters = get_peft_model(towers, LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))
    towers.logit_scale.requires_grad_(True)
    if towers.logit_bias is not None:
        towers.logit_bias.requires_grad_(True)
    return adapters
