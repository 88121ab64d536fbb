"""The configuration of a CLIP model that transformers saved: a folder with `config.json` and `model.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.backbones.checkpoint import Config
from clipcli.errors import BadFile, ModelUnavailable
from clipcli.parsed import json_of

CONFIG_NAME = "config.json"
# It has the tokenizer of the model, which is open_clip's for CLIP.
TOKENIZER = "ViT-B-32"
# What transformers takes for values that a configuration leaves out.
_TEXT_DEFAULTS = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}
_EPS = 1e-5
# By the numbers that Pillow gives them.
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
# Where open_clip has the weights of models that are not read here.
_ELSEWHERE = {"siglip": "ViT-B-16-SigLIP/webli", "siglip2": "ViT-B-16-SigLIP2/webli"}


def read_transformers_config(folder: Path, *, name: str) -> Config:
    """Read the configuration and the preprocessing in a folder; `name` is the model's, for messages.

    Raises `ModelUnavailable` for a model of another kind than CLIP, and `BadFile` for a configuration that open_clip
    cannot follow.
    """
    stated = _read(folder / CONFIG_NAME)
    _check_kind(stated, name=name)
    text, vision = (
        {**defaults, **(stated.get(f"{part}_config") or {}), **(stated.get(f"{part}_config_dict") or {})}
        for part, defaults in (("text", _TEXT_DEFAULTS), ("vision", _VISION_DEFAULTS))
    )
    try:
        model_cfg = _model_cfg(text, vision, embed_dim=stated.get("projection_dim", 512))
        preprocess_cfg = _preprocess_cfg(folder, size=vision["image_size"])
        _check_tokenizer(folder, size=text["vocab_size"])
    except (ValueError, TypeError, KeyError, ZeroDivisionError) as e:
        raise BadFile(f"{name} is a CLIPModel that open_clip cannot follow ({e}); take another model") from None
    return Config(model_cfg=model_cfg, preprocess_cfg=preprocess_cfg, precision=None)


def is_clip(config: Path) -> bool:
    """True for the `config.json` of a model of the kind that is read here."""
    try:
        stated = _read(config)
    except BadFile:
        return False
    return stated.get("model_type") == "clip" and stated.get("architectures") == ["CLIPModel"]


def activation_in(config: Path) -> bool | None:
    """True where a `config.json` of transformers states QuickGELU, false where another; `None` where none is stated."""
    try:
        stated = json_of(config.read_text(encoding="utf-8"))["text_config"]["hidden_act"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _ACTIVATIONS.get(stated)


def _read(path: Path) -> dict[str, Any]:
    try:
        stated = json_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise BadFile(f"cannot read {path} ({e}); get it anew") from None
    if not isinstance(stated, dict):
        raise BadFile(f"{path} is no configuration; get it anew")
    return stated


def _check_kind(stated: Mapping[str, Any], *, name: str) -> None:
    kind = stated.get("model_type")
    classes = stated.get("architectures") or ["CLIPModel"]
    if kind == "clip" and classes == ["CLIPModel"]:
        return
    what = classes[0] if stated.get("architectures") else f"model of type {kind}"
    other = _ELSEWHERE.get(str(kind))
    hint = (
        f"take its weights as open_clip has them, as in {other}" if other else "take a CLIPModel, or one of open_clip"
    )
    raise ModelUnavailable(f"{name} is a {what} of transformers, which clipcli does not read; {hint}")


def _model_cfg(text: Mapping[str, Any], vision: Mapping[str, Any], *, embed_dim: int) -> dict[str, Any]:
    activations = {text["hidden_act"], vision["hidden_act"]}
    if len(activations) > 1 or not activations <= _ACTIVATIONS.keys():
        raise ValueError(f"its activation is {' and '.join(sorted(activations))}")
    if {text["layer_norm_eps"], vision["layer_norm_eps"]} != {_EPS}:
        raise ValueError(f"its layer_norm_eps is not {_EPS:g}")
    return {
        "embed_dim": embed_dim,
        "quick_gelu": _ACTIVATIONS[activations.pop()],
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "layers": text["num_hidden_layers"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }


def _preprocess_cfg(folder: Path, *, size: int) -> dict[str, Any]:
    """The preprocessing that the folder states; empty where it states none, which means OpenAI's."""
    stated = _image_processor(folder)
    if not stated:
        return {}
    resized, cropped = stated.get("size", size), stated.get("crop_size", size)
    shortest = resized.get("shortest_edge") if isinstance(resized, dict) else resized
    crop = cropped.get("height") if isinstance(cropped, dict) else cropped
    squashed = isinstance(resized, dict) and {resized.get("height"), resized.get("width")} == {size}
    if not squashed and (shortest, crop) != (size, size):
        raise ValueError(f"it resizes to {resized} and crops to {cropped}, and its images are of {size} pixels")
    return {
        "mean": stated["image_mean"],
        "std": stated["image_std"],
        "interpolation": INTERPOLATIONS[stated.get("resample", 3)],
        "resize_mode": "squash" if squashed else "shortest",
    }


def _image_processor(folder: Path) -> dict[str, Any]:
    if (folder / "preprocessor_config.json").exists():
        return _read(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").exists():
        return dict(_read(folder / "processor_config.json").get("image_processor") or {})
    return {}


def _check_tokenizer(folder: Path, *, size: int) -> None:
    """Raise `ValueError` where the folder's tokenizer is not CLIP's own, token by token."""
    from clipcli.backbones.library import open_clip

    own = open_clip.tokenizer.SimpleTokenizer().encoder
    vocabulary = _vocabulary(folder)
    other = any(own.get(token) != number for token, number in vocabulary.items() if not token.startswith("<|"))
    if other or size != len(own):
        raise ValueError("its tokenizer is not CLIP's")


def _vocabulary(folder: Path) -> dict[str, int]:
    """The ids of all tokens, as the folder states them; empty where it states none."""
    if (folder / "tokenizer.json").exists():
        model = _read(folder / "tokenizer.json").get("model")
        return dict(model["vocab"]) if isinstance(model, dict) and isinstance(model.get("vocab"), dict) else {"": 0}
    return _read(folder / "vocab.json") if (folder / "vocab.json").exists() else {}
