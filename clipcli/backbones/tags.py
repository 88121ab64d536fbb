"""Models as `ARCH/TAG`: the published checkpoints that open_clip knows, and OpenAI's `ViT-B/32`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from clipcli.backbones import hub
from clipcli.backbones.bundled import BUNDLED
from clipcli.backbones.checkpoint import Checkpoint, Fetch
from clipcli.errors import UnknownName, unknown
from clipcli.events import Event

OPEN_CLIP_CACHE = Path("~/.cache/clip")
DEFAULT_MODEL = "ViT-B-32-256/datacomp_s34b_b86k"
_PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode")
# OpenAI's names and open_clip's names of the same architectures. Without a tag they mean OpenAI's own weights.
OPENAI_NAMES = {
    "RN50": "RN50",
    "RN101": "RN101",
    "RN50x4": "RN50x4",
    "RN50x16": "RN50x16",
    "RN50x64": "RN50x64",
    "ViT-B/32": "ViT-B-32",
    "ViT-B/16": "ViT-B-16",
    "ViT-L/14": "ViT-L-14",
    "ViT-L/14@336px": "ViT-L-14-336",
}


def find(model: str) -> Fetch | None:
    """The function that gets a published checkpoint, or `None` if open_clip does not know the architecture and tag."""
    from clipcli.backbones.library import open_clip

    arch, tag = split_architecture(model)
    if arch is None or not open_clip.pretrained.is_pretrained_cfg(arch, tag):
        return None
    return partial(_fetch, arch, tag.lower().replace("-", "_"))


def split_architecture(model: str) -> tuple[str | None, str]:
    """Split a model's name into architecture and rest, as `ViT-B/32/own.pt` into `ViT-B-32` and `own.pt`.

    The architecture is in open_clip's spelling, or `None` if open_clip does not know it; then the rest is the whole
    name.
    """
    from clipcli.backbones.library import open_clip

    arch, rest = split_name(model)
    return (arch, rest) if arch in open_clip.list_models() else (None, model)


def split_name(model: str) -> tuple[str, str]:
    """As `split_architecture`, by spelling alone: the architecture need not exist, and open_clip is not imported."""
    for openai, arch in OPENAI_NAMES.items():
        if model == openai:
            return arch, "openai"
        if "/" in openai and model.startswith(f"{openai}/"):
            return arch, model.removeprefix(f"{openai}/")
    arch, _, rest = model.partition("/")
    return arch, rest


def model_config(arch: str) -> dict[str, Any]:
    """open_clip's model configuration of an architecture that it knows."""
    from clipcli.backbones.library import open_clip

    return dict(open_clip.get_model_config(arch))


def tag_config(arch: str, tag: str) -> Mapping[str, Any]:
    """open_clip's configuration of a published checkpoint: the location of its weights, and its preprocessing."""
    from clipcli.backbones.library import open_clip

    config: Mapping[str, Any] = open_clip.get_pretrained_cfg(arch, tag)
    return config


def weights_location(arch: str, tag: str) -> tuple[str, tuple[str, ...]]:
    """The hub repository of a published checkpoint, and the names its weights may have there, best first."""
    repository, filename = os.path.split(tag_config(arch, tag)["hf_hub"])
    if not filename or filename in hub.DEFAULT_WEIGHTS:
        return repository, hub.DEFAULT_WEIGHTS
    stem, suffix = os.path.splitext(filename)
    return repository, (filename,) if suffix == ".safetensors" else (f"{stem}.safetensors", filename)


def published() -> list[tuple[str, str]]:
    """The architectures and tags of all published checkpoints, in open_clip's order."""
    from clipcli.backbones.library import open_clip

    pairs: list[tuple[str, str]] = open_clip.list_pretrained()
    return pairs


def weights_here(arch: str, tag: str) -> Path | None:
    """The weights of a published checkpoint, if they are in the hub's cache or in open_clip's own."""
    return hub.cached(*weights_location(arch, tag)) or _in_open_clips_cache(tag_config(arch, tag).get("url") or "")


def _in_open_clips_cache(url: str) -> Path | None:
    """The file that open_clip has downloaded from this address.

    The address holds the beginning of its SHA-256 for the files that are looked for: open_clip leaves half of a file
    where a download was stopped.
    """
    place = Path(url)
    path = OPEN_CLIP_CACHE.expanduser() / place.name
    expected = place.parent.name if "openaipublic" in url else place.stem.rpartition("-")[2]
    if not expected or not url or not path.is_file():
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path if digest.startswith(expected) else None


def preprocessing(config: Mapping[str, Any]) -> dict[str, Any]:
    """The preprocessing part of a tag's configuration."""
    return {key: config[key] for key in _PREPROCESS_KEYS if key in config}


def unknown_model(model: str) -> UnknownName:
    """The error for a name that is no model, with the names that were probably meant."""
    from clipcli.backbones.library import open_clip

    arch, tag = split_architecture(model)
    see = "clipcli models"
    if arch is None and model.startswith((".", "/", "~")):
        return UnknownName(f"no folder {model}; check the path after --model")
    if arch is None:
        published = [f"{a}/{t}" for a, t in open_clip.list_pretrained()]
        return unknown("model", model, [*BUNDLED, *OPENAI_NAMES, *open_clip.list_models(), *published], see=see)
    tags = open_clip.list_pretrained_tags_by_model(arch)
    if not tags:
        return UnknownName(
            f"no published weights for {arch}; give a checkpoint, as in {arch}/path/to/weights.safetensors"
        )
    if not tag:
        return UnknownName(f"{arch} is an architecture; add a tag, as in {arch}/{tags[0]} ({see} {arch} lists them)")
    return unknown(f"tag or checkpoint file of {arch}:", tag, tags, see=f"{see} {arch}")


def _fetch(arch: str, tag: str) -> Generator[Event, None, Checkpoint]:
    config = tag_config(arch, tag)
    model_cfg = deepcopy(model_config(arch))
    # open_clip only warns where weights trained with QuickGELU meet an architecture without it.
    model_cfg["quick_gelu"] = bool(model_cfg.get("quick_gelu") or config.get("quick_gelu"))
    repository, filenames = weights_location(arch, tag)
    weights = weights_here(arch, tag) or (yield from hub.download(repository, filenames, model=f"{arch}/{tag}"))
    return Checkpoint(
        name=f"{arch}/{tag}",
        weights=weights,
        model_cfg=model_cfg,
        preprocess_cfg=preprocessing(config),
        tokenizer=arch,
    )
