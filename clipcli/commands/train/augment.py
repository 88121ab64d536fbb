"""Random views of an image for training: a crop of random place, size and shape, and its mirror image."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageOps

from clipcli.backbones.backbone import Preprocessing
from clipcli.images.decode import upright

_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10
_FILTERS = {"bilinear": Image.Resampling.BILINEAR}


def random_view(
    data: bytes, *, preprocessing: Preprocessing, crop: float, flip: bool, chance: np.random.Generator
) -> Image.Image:
    """The image at the model's input size: a crop of at least the share `crop` of its area, mirrored every other time.

    The random resized crop of Szegedy et al. 2015, with the shapes that torchvision draws.
    """
    height, width = preprocessing.size
    image = Image.open(io.BytesIO(data))
    # A JPEG is decoded at the smallest scale that still leaves a crop twice the input size.
    least = 2 / math.sqrt(crop)
    image.draft(None, (math.ceil(least * width), math.ceil(least * height)))
    whole = upright(image)
    resample = _FILTERS.get(preprocessing.interpolation, Image.Resampling.BICUBIC)
    view = whole.resize((width, height), resample, box=_box(whole.size, crop=crop, chance=chance))
    return mirrored(view, flip=flip, chance=chance)


def mirrored(image: Image.Image, *, flip: bool, chance: np.random.Generator) -> Image.Image:
    """The image, or where `flip` is on in half of all cases its mirror image."""
    return ImageOps.mirror(image) if flip and chance.random() < 0.5 else image


def _box(size: tuple[int, int], *, crop: float, chance: np.random.Generator) -> tuple[float, float, float, float]:
    width, height = size
    for _ in range(_TRIES):
        area = width * height * chance.uniform(crop, 1)
        ratio = math.exp(chance.uniform(math.log(_RATIOS[0]), math.log(_RATIOS[1])))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = chance.uniform(0, width - w), chance.uniform(0, height - h)
            return left, top, left + w, top + h
    # A long and narrow image: its middle.
    w, h = min(width, height * _RATIOS[1]), min(height, width / _RATIOS[0])
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2
