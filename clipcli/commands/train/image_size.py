"""Training at another image size than the model's own, for `--image-size` (as in FixRes, Touvron et al. 2019)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import Architecture, Checkpoint
from clipcli.errors import UsageError

# The defaults of open_clip for a configuration that does not say.
_IMAGE_SIZE, _PATCH_SIZE = 224, 16
_RESNET_STRIDE = 32


def at_image_size(start: Architecture, size: int) -> Architecture:
    """The same architecture for images of `size` × `size` pixels.

    Raises `UsageError` for a checkpoint whose weights fit its own size only, and for a size that is no multiple of the
    patch size or stride. Image towers of timm are not checked here, but by `check_image_size` once they are loaded.
    """
    vision: dict[str, Any] = start.model_cfg["vision_cfg"]
    own = _pair(vision.get("image_size", _IMAGE_SIZE))
    if own == (size, size):
        return start
    if not vision.get("timm_model_name"):
        resnet = isinstance(vision.get("layers"), list | tuple)
        parts = (_RESNET_STRIDE, _RESNET_STRIDE) if resnet else _pair(vision.get("patch_size", _PATCH_SIZE))
        if isinstance(start, Checkpoint) and resnet:
            raise UsageError(
                f"--image-size {size} does not fit {start.name}: the attention that pools its image tower has weights "
                f"for {own[0]} pixels; leave --image-size out, or pretrain with --arch"
            )
        if isinstance(start, Checkpoint) and own[0] != own[1]:
            raise UsageError(
                f"--image-size {size} does not fit {start.name}, whose images are {own[0]}×{own[1]} and not square; "
                "leave --image-size out"
            )
        _check_multiple(size, parts, start.name)
    return replace(start, model_cfg={**start.model_cfg, "vision_cfg": {**vision, "image_size": size}})


def check_image_size(backbone: Backbone, size: int) -> None:
    """Encode an image of `size` × `size` pixels. Raises `UsageError` where the image tower cannot."""
    try:
        backbone.encode_images(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    # Towers of timm raise different errors for a size that they cannot take.
    except (AssertionError, RuntimeError, ValueError) as e:
        reason = str(e).split("\n")[0].rstrip(".")
        raise UsageError(
            f"--image-size {size} does not fit {backbone.name} ({reason}); leave it out, or take a model with an image "
            "tower that is convolutional or open_clip's own ViT"
        ) from None


def _check_multiple(size: int, parts: tuple[int, int], name: str) -> None:
    for part in parts:
        if size % part:
            below = size // part * part
            sizes = f"{below} or {below + part}" if below else str(part)
            raise UsageError(
                f"--image-size {size} does not fit {name}, whose image tower works on parts of {part} pixels; "
                f"give a multiple of {part}, such as {sizes}"
            )


def _pair(size: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
