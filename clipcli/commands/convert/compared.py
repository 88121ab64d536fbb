"""Compares what another library reads with the model itself, by the embeddings of a few images and texts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clipcli.backbones.backbone import Backbone
from clipcli.commands.convert.form import ReadBack
from clipcli.encoding.engines.agreement import probe_images

# Of plain words and of odd ones, a short and one that is longer than any context.
TEXTS = (
    "a photo of a cat.",
    "a dog",
    "It's 3 o'clock & the café is closed!",
    "a street at night, seen from above, with many cars and people who wait " * 8,
    "猫",
)


@torch.no_grad()
def largest_difference(backbone: Backbone, read_back: ReadBack) -> float:
    """The largest difference of a number of an embedding, of L2-normalised ones, over images and texts.

    Infinite where one is no number.
    """
    pixels = probe_images(backbone.preprocessing)
    pairs = (
        (read_back.images(pixels), backbone.encode_images(pixels)),
        (read_back.texts(TEXTS), backbone.encode_texts(TEXTS)),
    )
    return max(_difference(theirs, ours) for theirs, ours in pairs)


def _difference(theirs: Tensor, ours: Tensor) -> float:
    found = functional.normalize(theirs.to(torch.float32), dim=-1) - ours
    return float(found.abs().nan_to_num(nan=torch.inf).max())
