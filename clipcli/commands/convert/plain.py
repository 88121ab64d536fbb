"""Tells the architectures of plain CLIP, which other libraries have as well, from all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.library import open_clip

# What may differ from one plain tower to another, and what counts in training alone.
_FREE_IMAGE = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout"}
_FREE_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_VOCABULARY = 49408


def why_not_plain(architecture: Architecture) -> str | None:
    """What a model has that no plain CLIP has, in a clause such as "its image tower is one of timm"; else `None`."""
    config = architecture.model_cfg
    vision, text = config["vision_cfg"], config["text_cfg"]
    if vision.get("timm_model_name"):
        return f"its image tower is {vision['timm_model_name']} of timm"
    if text.get("hf_model_name"):
        return f"its text tower is {text['hf_model_name']} of transformers"
    if text.get("hf_tokenizer_name") or text.get("vocab_size", _VOCABULARY) != _VOCABULARY:
        return "its tokenizer is not CLIP's own"
    if config.get("init_logit_bias") is not None:
        return "its logits have a bias"
    if has_decoder(architecture):
        return "it has a decoder of texts"
    for tower, stated, kind, free in (
        ("image", vision, open_clip.model.CLIPVisionCfg, _FREE_IMAGE),
        ("text", text, open_clip.model.CLIPTextCfg, _FREE_TEXT),
    ):
        other = _not_as_usual(stated, kind, free)
        if other is not None:
            return f"its {tower} tower has {other}={stated[other]}"
    if architecture.preprocess_cfg.get("resize_mode") == "longest":
        return "its images are padded"
    size = vision.get("image_size", 224)
    if isinstance(size, list | tuple) and size[0] != size[1]:
        return "its images are not square"
    return None


def has_decoder(architecture: Architecture) -> bool:
    """True for CoCa, which writes captions as well."""
    return bool(architecture.model_cfg.get("multimodal_cfg"))


def _not_as_usual(stated: Mapping[str, Any], kind: Any, free: set[str]) -> str | None:
    """The first field that has another value than a plain tower's, which is its default."""
    usual = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    return next(
        (name for name, value in stated.items() if name not in free and value != usual.get(name, MISSING)), None
    )


def image_size(architecture: Architecture) -> int:
    """The height and width of a plain model's images in pixels."""
    size = architecture.model_cfg["vision_cfg"].get("image_size", 224)
    return int(size[0] if isinstance(size, list | tuple) else size)
