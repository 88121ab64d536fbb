"""CutMix (Yun et al. 2019): a box of an image is replaced by that of another, whose caption is then partly right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from clipcli.commands.train.loss import CutMix, Groups


def cutmix(pixels: Tensor, groups: Groups, *, probability: float, rng: np.random.Generator) -> CutMix:
    """Replace boxes of the images uint8 `[b, H, W, 3]`, in place, by the same boxes of other images of this process.

    Each image is mixed with the given probability. The area of its box is drawn uniformly, up to the whole image, and
    its centre anywhere; the part that lies outside is dropped. Returns the other images and the shares that are left.
    """
    count, height, width = pixels.shape[:3]
    others = torch.from_numpy(rng.permutation(count))
    shares = torch.ones(count)
    whole = pixels.clone()
    for place in np.flatnonzero(rng.random(count) < probability):
        rows, columns = _box(height, width, rng)
        pixels[place, rows, columns] = whole[others[place], rows, columns]
        shares[place] = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return CutMix(groups.select(others), shares)


def _box(height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    side = math.sqrt(rng.random())
    return _span(height, side, rng), _span(width, side, rng)


def _span(length: int, share: float, rng: np.random.Generator) -> slice:
    # At least one line is left, so that an image's own caption is never quite wrong.
    half = min(int(share * length), length - 1) / 2
    centre = rng.uniform(0, length)
    return slice(max(0, round(centre - half)), min(length, round(centre + half)))
