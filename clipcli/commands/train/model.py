"""The model that is trained: loaded or new, with the towers, layers and adapters that learn."""

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
from clipcli.errors import BadFile, MissingExtra, UsageError
from clipcli.events import Event

# Where SigLIP's bias and temperature start (Zhai et al. 2023, section 3.2).
_SIGLIP_BIAS, _SIGLIP_LOGIT_SCALE = -10, 2.302585
_MODULES_WITH_WEIGHTS = (nn.Linear, nn.MultiheadAttention, nn.Conv2d)


@dataclass(frozen=True, slots=True)
class Trainee:
    """A model in float32 on its device, ready to learn; `adapters` wraps it where low-rank changes are trained."""

    backbone: Backbone
    architecture: Architecture
    config: TrainConfig
    adapters: Any = None

    @property
    def towers(self) -> Towers:
        """The towers themselves."""
        return self.backbone.towers

    def learn(self) -> None:
        """Go into training mode: locked towers, and where it is asked for batch norm, stay as in use."""
        self.towers.train()
        if self.config.lock is not None and not self.config.unlock_groups:
            _tower(self.towers, self.config.lock).eval()
        for module in batch_norms(self.towers):
            if self.config.freeze_batch_norm or not module.weight.requires_grad:
                module.eval()

    def in_use(self) -> Backbone:
        """The model as it is now, in evaluation mode; it goes on learning after `learn`."""
        self.towers.eval()
        bias = self.towers.logit_bias
        return replace(
            self.backbone,
            logit_scale=float(self.towers.logit_scale.exp().item()),
            logit_bias=None if bias is None else float(bias.item()),
        )

    def weights(self) -> dict[str, Tensor]:
        """Plain weights under the names of `Towers`, adapters merged in; on the processor, a copy of their own."""
        towers = copy.deepcopy(self.adapters).merge_and_unload() if self.adapters is not None else self.towers
        return {name: t.detach().to("cpu", copy=True).contiguous() for name, t in towers.state_dict().items()}

    def copy(self) -> Trainee:
        """The same model with weights of its own."""
        if self.adapters is None:
            return replace(self, backbone=replace(self.backbone, towers=copy.deepcopy(self.towers)))
        adapters = copy.deepcopy(self.adapters)
        return replace(self, backbone=replace(self.backbone, towers=adapters.get_base_model()), adapters=adapters)

    def plain(self) -> Trainee:
        """The trained model without adapters, which are merged into its weights: it learns no more."""
        if self.adapters is None:
            return self
        return replace(self, backbone=replace(self.backbone, towers=self.adapters.merge_and_unload()), adapters=None)

    def facts(self) -> dict[str, Any]:
        """What is trained: the model's name, and how many parameters it has and learns."""
        return {
            "model": self.backbone.name,
            "parameters": sum(p.numel() for p in self.towers.parameters()),
            "trained_parameters": sum(p.numel() for p in self.towers.parameters() if p.requires_grad),
        }

    def learned(self) -> dict[str, Tensor]:
        """The weights and their adapters, which the merged weights do not tell apart; nothing without adapters.

        Also what does not learn moves: an attention's adapters are added to its weights and taken off again each step,
        and what that rounds stays.
        """
        return {} if self.adapters is None else {name: t.cpu() for name, t in self.towers.state_dict().items()}

    def restore(self, weights: dict[str, Tensor], learned: dict[str, Tensor]) -> None:
        """Take back what `weights`, or with adapters `learned`, gave."""
        self.towers.load_state_dict(weights if self.adapters is None else learned)


def find_start(config: TrainConfig) -> Generator[Event, None, Architecture]:
    """What training starts from: the checkpoint of `--model`, or the architecture of `--arch`, at `--image-size`.

    Raises `UsageError` for a kind of model that cannot be trained here, or not at that size.
    """
    if (config.model is None) == (config.arch is None):
        given = "neither --model nor --arch was" if config.model is None else "both --model and --arch were"
        raise UsageError(f"{given} given; give --model M to fine-tune, or --arch ARCH to pretrain")
    if config.arch is not None:
        architecture = find_architecture(config.arch)
    else:
        architecture = yield from backbones.find(config.model or "")()
    if "multimodal_cfg" in architecture.model_cfg:
        raise UsageError(f"{architecture.name} is a CoCa model, whose captioner clipcli does not train; choose another")
    return architecture if config.image_size is None else at_image_size(architecture, config.image_size)


def own_loss(architecture: Architecture) -> str:
    """The loss that a model of this architecture is trained with if nobody says otherwise."""
    return "clip" if architecture.model_cfg.get("init_logit_bias") is None else "siglip"


def prepare(start: Architecture, config: TrainConfig, *, runtime: Runtime) -> Trainee:
    """The model with what learns chosen. Raises the errors of loading, `UsageError` and `MissingExtra`."""
    exact = replace(runtime, precision="fp32")
    # New weights, and those of adapters, are drawn from here.
    torch.manual_seed(config.seed)
    if isinstance(start, backbones.Checkpoint):
        backbone = load(start, runtime=exact, resize=config.image_size is not None)
        start = _with_right_bias(start, backbone.towers, config)
    else:
        start = _for_loss(start, config)
        backbone = initialise(start, runtime=exact)
    _check_vocabulary(backbone, start)
    if config.image_size is not None:
        check_image_size(backbone, config.image_size)
    towers = backbone.towers
    towers.requires_grad_(True)
    if config.lock is not None:
        _lock(_tower(towers, config.lock), config.unlock_groups)
    elif config.unlock_groups:
        raise UsageError("--unlock-groups goes with --lock; give --lock image or --lock text")
    adapters = None if config.lora is None else _adapt(towers, config.lora)
    if config.grad_checkpoint:
        for tower in (towers.visual, towers.text):
            tower.set_grad_checkpointing(True)  # type: ignore[union-attr, operator]
    return Trainee(backbone, start, config, adapters)


def compile_towers(towers: Towers) -> None:
    """Let torch compile both towers in place; texts come in several lengths."""
    _tower(towers, "image").compile()
    text = getattr(towers.text, "transformer", _tower(towers, "text"))
    text.compile(dynamic=True)


def _for_loss(architecture: Architecture, config: TrainConfig) -> Architecture:
    """The architecture with the bias that SigLIP's loss learns, or without one where CLIP's would not learn it."""
    has_bias = architecture.model_cfg.get("init_logit_bias") is not None
    if config.loss != "siglip":
        return _without_bias(architecture) if has_bias else architecture
    if has_bias:
        return architecture
    siglip = {"init_logit_bias": _SIGLIP_BIAS, "init_logit_scale": _SIGLIP_LOGIT_SCALE}
    return replace(architecture, model_cfg={**architecture.model_cfg, **siglip})


def _without_bias(architecture: Architecture) -> Architecture:
    return replace(architecture, model_cfg={**architecture.model_cfg, "init_logit_bias": None})


def _with_right_bias(start: Architecture, towers: Towers, config: TrainConfig) -> Architecture:
    """Give a model the bias that SigLIP's loss learns, or take away one that CLIP's would not learn."""
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
    size = architecture.model_cfg["text_cfg"].get("vocab_size")
    largest = int(backbone.tokenizer(["a photo"]).max())
    if size is not None and "hf_model_name" not in architecture.model_cfg["text_cfg"] and largest >= size:
        raise BadFile(
            f"{architecture.name} has a vocab_size of {size}, and its tokenizer gives {largest}; make it larger"
        )


def _lock(tower: Any, unlocked: int) -> None:
    """Let nothing in the tower learn but its last groups of layers (LiT, Zhai et al. 2022)."""
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


def _adapt(towers: Towers, rank: int) -> Any:
    """Low-rank changes (LoRA, Hu et al. 2022) of all matrices and kernels, by peft. Raises `MissingExtra`."""
    if importlib.util.find_spec("peft") is None:
        raise MissingExtra("--lora needs peft; run pip install 'clipcli[lora]'")
    from peft import LoraConfig, get_peft_model

    frozen = {name for name, parameter in towers.named_parameters() if not parameter.requires_grad}
    targets = [
        name
        for name, module in towers.named_modules()
        # An attention's own projections, and a pool's, are read as plain weights, past any adapter.
        if isinstance(module, _MODULES_WITH_WEIGHTS) and not name.endswith("out_proj") and ".attnpool." not in name
        # The kernels of one channel each have no rank to speak of.
        if getattr(module, "groups", 1) == 1
        if not any(f"{name}.{parameter}" in frozen for parameter, _ in module.named_parameters())
    ]
    adapters = get_peft_model(towers, LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))
    towers.logit_scale.requires_grad_(True)
    if towers.logit_bias is not None:
        towers.logit_bias.requires_grad_(True)
    return adapters
