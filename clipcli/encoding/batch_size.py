"""How many images are encoded at once: on a card as many as its memory is sure to hold, on a processor its cache.

The same model on the same machine gets the same size, so that the last digits are the same as well. Not yet run on a
card.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from clipcli.backbones.backbone import Backbone

# Of the card's memory, the part that what is computed for a batch may take; the rest is for weights and for others.
_SHARE = 0.5
_PROBES = 8
# What a processor encodes fastest, as measured: 32 images of 50 tokens by a transformer, 8 of 224 × 224 pixels by
# convolutions. More do not stay in its cache.
_TOKENS = 32 * 50
_PIXELS = 8 * 224 * 224


def with_batch_size(backbone: Backbone) -> Backbone:
    """The backbone with batches that fit its device.

    Of a card the whole memory counts and not what is free of it, so that the same card gives the same batches.
    """
    runtime = backbone.runtime
    if runtime.device == "mps":
        return backbone
    size = _for_a_card(backbone) if runtime.device == "cuda" else _for_a_processor(backbone)
    return replace(backbone, runtime=replace(runtime, batch_size=size))


def _for_a_processor(backbone: Backbone) -> int:
    tower = backbone.towers.visual
    height, width = backbone.preprocessing.size
    positions = getattr(tower, "positional_embedding", getattr(getattr(tower, "trunk", None), "pos_embed", None))
    fitting = _PIXELS / (height * width) if positions is None else _TOKENS / positions.shape[-2]
    return 1 << min(max(round(math.log2(fitting)), 2), 7)


def _for_a_card(backbone: Backbone) -> int:
    runtime = backbone.runtime
    total = torch.cuda.get_device_properties("cuda").total_memory
    try:
        return batch_size_for(_bytes_an_image(backbone), total=total, most=runtime.batch_size)
    except torch.OutOfMemoryError:
        # Encoding halves what does not fit.
        return min(_PROBES, runtime.batch_size)


def batch_size_for(bytes_an_image: float, *, total: int, most: int) -> int:
    """The largest power of two, at most `most`, of images that take no more than half of `total` bytes; at least 1."""
    fitting = most if bytes_an_image <= 0 else min(most, int(_SHARE * total / bytes_an_image))
    return 1 << max(fitting, 1).bit_length() - 1


def _bytes_an_image(backbone: Backbone) -> float:
    """What encoding takes for each image at its peak, beside the weights."""
    height, width = backbone.preprocessing.size
    blank = torch.zeros(_PROBES, height, width, 3, dtype=torch.uint8)
    # The first time the card's libraries take memory for themselves.
    backbone.encode_images(blank)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    backbone.encode_images(blank)
    return (torch.cuda.max_memory_allocated() - before) / _PROBES
