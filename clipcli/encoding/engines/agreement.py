"""Checks that an engine gives the same embeddings as torch, on generated images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.encoders import TextEncoder
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.encoding.engines.store import EngineRefused

LEAST_COSINE = 0.999
_PROBES = 8
_TEXTS = ("a photo of a cat.", "", "café au lait — 2½ €", "a street at night, seen from above " * 12, "猫", "x")


def probe_images(preprocessing: Preprocessing, *, images: int = _PROBES) -> Tensor:
    """Generate images of coloured patches from a fixed seed, as uint8 pixels `[B, H, W, 3]`."""
    colours = torch.rand(images, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    patches = functional.interpolate(colours, size=preprocessing.size, mode="bicubic").clamp(0, 1)
    return patches.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def least_cosine(encode: Callable[[Tensor], Tensor], backbone: Backbone, *, images: int = _PROBES) -> float:
    """The least cosine between embeddings by `encode` and by the backbone, over generated images; NaN counts as 0."""
    pixels = probe_images(backbone.preprocessing, images=images)
    cosines = (encode(pixels).cpu() * backbone.encode_images(pixels).cpu()).sum(dim=1)
    return float(cosines.nan_to_num(0).min())


def least_cosine_of_texts(encoder: TextEncoder, backbone: Backbone) -> float:
    """The least cosine between embeddings by `encoder` and by the backbone, over a few texts; NaN counts as 0."""
    cosines = (encoder.embed_texts(_TEXTS) * backbone.embed_texts(_TEXTS)).sum(axis=1)
    return float(np.nan_to_num(cosines).min())


def check(cosine: float) -> None:
    """Raise `EngineRefused` if the least cosine is below `LEAST_COSINE`."""
    if cosine < LEAST_COSINE:
        raise EngineRefused(f"its embeddings are not torch's: least cosine {cosine:.4f}")
