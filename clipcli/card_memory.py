"""How many images a card encodes at once: as many as its memory is sure to hold. Not yet run on a card."""

from __future__ import annotations

from dataclasses import replace

import torch

from clipcli.backbones.backbone import Backbone

# Of the card's memory, the part that what is computed for a batch may take; the rest is for weights and for others.
_SHARE = 0.5
_PROBES = 8


def fitted(backbone: Backbone) -> Backbone:
    """The backbone with batches that fit on its card, or as it is where it runs on none.

    The card's whole memory counts and not what is free of it, so that the same card gives the same batches every time.
    """
    runtime = backbone.runtime
    if runtime.device != "cuda":
        return backbone
    total = torch.cuda.get_device_properties("cuda").total_memory
    try:
        size = batch_size_for(_bytes_an_image(backbone), total=total, most=runtime.batch_size)
    except torch.OutOfMemoryError:
        # Encoding halves what does not fit.
        size = min(_PROBES, runtime.batch_size)
    return replace(backbone, runtime=replace(runtime, batch_size=size))


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
