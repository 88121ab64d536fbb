"""The model to make: clipcli's own towers by a configuration, with EfficientNet-Lite's weights and a head for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tower
from safetensors.torch import save_file
from tower import Head

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import CONFIG_NAME, Architecture, read_config
from clipcli.backbones.load import initialise
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.train.checkpoints import WEIGHTS_NAME


@dataclass(frozen=True, slots=True)
class NewModel:
    """A CLIP model of which only the image tower has learned anything, and that tower's head for ImageNet's classes."""

    backbone: Backbone
    head: Head


def new_model(config: Path, sources: Path, *, seed: int = 0) -> NewModel:
    """Make the model of an `open_clip_config.json`; what is not EfficientNet-Lite's is random."""
    model_cfg, preprocess_cfg = read_config(config, name=str(config))
    torch.manual_seed(seed)
    architecture = Architecture(
        name=config.parent.name,
        model_cfg=model_cfg,
        preprocess_cfg=preprocess_cfg,
        tokenizer=f"local-dir:{config.absolute().parent}",
    )
    backbone = initialise(architecture, runtime=choose_runtime(device="cpu", precision="fp32"))
    visual: Any = backbone.towers.visual
    head = tower.fill(visual.trunk, size=tower.size_of(model_cfg["vision_cfg"]), folder=sources)
    visual.to(memory_format=torch.channels_last)
    return NewModel(backbone, head)


def save(model: NewModel, config: Path, target: Path) -> None:
    """Write the model as a folder that open_clip and clipcli load."""
    target.mkdir(parents=True, exist_ok=True)
    weights = {name: t.contiguous() for name, t in model.backbone.towers.state_dict().items()}
    save_file(weights, target / WEIGHTS_NAME)
    (target / CONFIG_NAME).write_text(config.read_text())
