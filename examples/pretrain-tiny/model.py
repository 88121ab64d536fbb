"""The model to make: clipcli's own towers by a configuration, with EfficientNet-Lite's weights and a head for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tower
from safetensors.torch import save_file
from tower import Head

from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.backbones.load import initialise
from clipcli.backbones.open_clip_folder import WEIGHTS_NAME, to_open_clip
from clipcli.backbones.runtime import choose_runtime


@dataclass(frozen=True, slots=True)
class NewModel:
    """A CLIP model of which only the image tower has learned anything, and that tower's head for ImageNet's classes."""

    backbone: Backbone
    head: Head


def new_model(config: Path, sources: Path, *, seed: int = 0) -> NewModel:
    """Make the model of an `open_clip_config.json`; what is not EfficientNet-Lite's is random."""
    architecture = find_architecture(str(config))
    torch.manual_seed(seed)
    backbone = initialise(architecture, runtime=choose_runtime(device="cpu", precision="fp32"))
    visual: Any = backbone.towers.visual
    head = tower.fill(visual.trunk, size=tower.size_of(architecture.model_cfg["vision_cfg"]), folder=sources)
    visual.to(memory_format=torch.channels_last)
    return NewModel(backbone, head)


def save(model: NewModel, config: Path, target: Path) -> None:
    """Write the model as a folder that open_clip and clipcli load."""
    target.mkdir(parents=True, exist_ok=True)
    model_cfg = find_architecture(str(config)).model_cfg
    weights = to_open_clip(model.backbone.towers.state_dict(), model_cfg)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, target / WEIGHTS_NAME)
    (target / CONFIG_NAME).write_text(config.read_text())
