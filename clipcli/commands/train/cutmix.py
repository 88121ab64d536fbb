"""CutMix (Yun et al. 2019): a box of an image shows another image of the batch, whose caption then is partly right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from clipcli.commands.train.loss import Groups, Mix


def cutmix(pixels: Tensor, groups: Groups, *, probability: float, chance: np.random.Generator) -> Mix:
    """Cut boxes out of images uint8 `[b, H, W, 3]`, in place, and fill them with what others show there.

    Each image is cut with the given probability. As much of it is cut as a uniform draw says, less what of the box
    lies outside. Only images of one process are mixed with each other.
    """
    count, height, width = pixels.shape[:3]
    others = torch.from_numpy(chance.permutation(count))
    shares = torch.ones(count)
    whole = pixels.clone()
    for place in np.flatnonzero(chance.random(count) < probability):
        rows, columns = _box(height, width, chance)
        pixels[place, rows, columns] = whole[others[place], rows, columns]
        shares[place] = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return Mix(groups.of(others), shares)


def _box(height: int, width: int, chance: np.random.Generator) -> tuple[slice, slice]:
    side = math.sqrt(chance.random())
    return _span(height, side, chance), _span(width, side, chance)


def _span(length: int, share: float, chance: np.random.Generator) -> slice:
    # One line is always left, so that an image's own caption is never quite wrong.
    half = min(int(share * length), length - 1) / 2
    centre = chance.uniform(0, length)
    return slice(max(0, round(centre - half)), min(length, round(centre + half)))
