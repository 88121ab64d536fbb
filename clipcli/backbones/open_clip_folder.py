"""Writes a model as open_clip and `--model` read it: a folder with a configuration, weights and a tokenizer's files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import CONFIG_NAME, Architecture
from clipcli.backbones.directory import WEIGHTS_NAMES
from clipcli.files.atomic import replacing

WEIGHTS_NAME = WEIGHTS_NAMES[0]


def write_open_clip(
    folder: Path, architecture: Architecture, backbone: Backbone, weights: Mapping[str, Tensor]
) -> None:
    """Write configuration, weights, and the tokenizer's files if it has any; each replaces an earlier one as a whole.

    `weights` are under the names of `Towers`. Raises `OSError`, and `SafetensorError` for the weights.
    """
    save_tokenizer(folder, backbone)
    with replacing(folder / CONFIG_NAME) as config_part:
        config_part.write_text(as_json(config_of(architecture, backbone)), encoding="utf-8")
        with replacing(folder / WEIGHTS_NAME) as weights_part:
            save_file(to_open_clip(weights, architecture.model_cfg), weights_part)
            # safetensors writes files that only the owner can read.
            shutil.copymode(config_part, weights_part)


def config_of(architecture: Architecture, backbone: Backbone) -> dict[str, Any]:
    """The content of the model's `open_clip_config.json`."""
    preprocessing = backbone.preprocessing
    config: dict[str, Any] = {
        "model_cfg": dict(architecture.model_cfg),
        "preprocess_cfg": {
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": preprocessing.interpolation,
            "resize_mode": preprocessing.resize_mode,
            "fill_color": preprocessing.fill_color,
        },
    }
    if architecture.precision is not None:
        config["precision"] = architecture.precision
    return config


def save_tokenizer(folder: Path, backbone: Backbone) -> None:
    """Write the files of a tokenizer of transformers; open_clip's own has none."""
    if hasattr(backbone.tokenizer, "save_pretrained"):
        backbone.tokenizer.save_pretrained(str(folder))


def as_json(content: Mapping[str, Any]) -> str:
    """The text of a configuration's file."""
    return json.dumps(content, indent=1) + "\n"


def to_open_clip(weights: Mapping[str, Tensor], model_cfg: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights renamed from `Towers` to open_clip's class for the configuration, `CLIP` or `CustomTextCLIP`."""
    separate_text = model_cfg.get("custom_text") or "hf_model_name" in model_cfg["text_cfg"]
    return dict(weights) if separate_text else {name.removeprefix("text."): t for name, t in weights.items()}


def from_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights renamed from either of open_clip's classes to `Towers`."""
    shared = ("visual.", "text.", "logit_")
    return {name if name.startswith(shared) else f"text.{name}": t for name, t in weights.items()}
