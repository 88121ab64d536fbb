"""Chooses the batch size: what fits a card's memory, or what a processor encodes fastest.

The same model on the same machine always gets the same batch size, so that embeddings are the same to the last digit.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from clipcli.backbones.backbone import Backbone

# The share of a card's memory that a batch's activations may take. The rest is for weights and for other programs.
_SHARE = 0.5
_PROBES = 8
# The fastest batches on a processor, as measured: 32 images of 50 tokens for a transformer, 8 images of 224 × 224
# pixels for convolutions. Larger batches do not stay in its cache.
_TOKENS = 32 * 50
_PIXELS = 8 * 224 * 224


def with_batch_size(backbone: Backbone) -> Backbone:
    """The backbone with a batch size that suits its device.

    For a card its total memory counts, not its free memory, so that the same card gives the same batch size. On an
    Apple card the batch size stays as it is.
    """
    runtime = backbone.runtime
    if runtime.device == "mps":
        return backbone
    size = _for_a_card(backbone) if runtime.kind == "cuda" else _for_a_processor(backbone)
    return replace(backbone, runtime=replace(runtime, batch_size=size))


def _for_a_processor(backbone: Backbone) -> int:
    tower = backbone.towers.visual
    height, width = backbone.preprocessing.size
    positions = getattr(tower, "positional_embedding", getattr(getattr(tower, "trunk", None), "pos_embed", None))
    fitting = _PIXELS / (height * width) if positions is None else _TOKENS / positions.shape[-2]
    return 1 << min(max(round(math.log2(fitting)), 2), 7)


def _for_a_card(backbone: Backbone) -> int:
    runtime = backbone.runtime
    total = torch.cuda.get_device_properties(runtime.device).total_memory
    try:
        return batch_size_for(_bytes_an_image(backbone), total=total, most=runtime.batch_size)
    except torch.OutOfMemoryError:
        # Encoding halves a batch that does not fit.
        return min(_PROBES, runtime.batch_size)


def batch_size_for(bytes_an_image: float, *, total: int, most: int) -> int:
    """The largest power of two of images that fit into half of `total` bytes, at least 1 and at most `most`."""
    fitting = most if bytes_an_image <= 0 else min(most, int(_SHARE * total / bytes_an_image))
    return 1 << max(fitting, 1).bit_length() - 1


def _bytes_an_image(backbone: Backbone) -> float:
    """The peak memory in bytes that encoding takes per image, without the weights."""
    height, width = backbone.preprocessing.size
    blank = torch.zeros(_PROBES, height, width, 3, dtype=torch.uint8)
    # The first call also allocates memory for the card's libraries.
    backbone.encode_images(blank)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    backbone.encode_images(blank)
    return (torch.cuda.max_memory_allocated() - before) / _PROBES
