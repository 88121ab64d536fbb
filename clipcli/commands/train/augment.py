"""Random crops and flips of images to train on, as torchvision draws them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.commands.train.trivial import trivial_augment
from clipcli.images.decode import DEFAULT_LIMITS, decoding
from clipcli.images.limits import Limits
from clipcli.images.resize import resizer
from clipcli.notices import Note, unsaid
from clipcli.records import Content

# From an image's content to a random view of it, at the model's input size.
View = Callable[[Content, np.random.Generator, Note], Image.Image]
_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10
_FILTERS = {"bilinear": Image.Resampling.BILINEAR}


def train_view(
    preprocessing: Preprocessing,
    *,
    crop: float,
    flip: bool,
    augment: str = "none",
    limits: Limits = DEFAULT_LIMITS,
) -> View:
    """The function from an image's content to the augmented image that the model sees, of its input size.

    `crop` is the least share of the area that a random crop keeps; with 1 the image is resized as for inference. With
    `flip` half of the images are mirrored. With `augment` `trivial` TrivialAugment is applied last.
    """
    resize = resizer(preprocessing)

    def view(data: Content, rng: np.random.Generator, note: Note = unsaid) -> Image.Image:
        if crop < 1:
            how: dict[str, Any] = {"preprocessing": preprocessing, "crop": crop, "flip": flip}
            image = random_view(data, rng=rng, limits=limits, note=note, **how)
        else:
            with decoding(data, limits=limits, note=note) as whole:
                image = mirrored(resize(whole), flip=flip, rng=rng)
        return trivial_augment(image, rng=rng) if augment == "trivial" else image

    return view


def random_view(
    data: Content,
    *,
    preprocessing: Preprocessing,
    crop: float,
    flip: bool,
    rng: np.random.Generator,
    limits: Limits = DEFAULT_LIMITS,
    note: Note = unsaid,
) -> Image.Image:
    """A random resized crop (Szegedy et al. 2015) of an image, in RGB at the model's input size.

    It keeps at least the share `crop` of the area, where its shape from 3:4 to 4:3 fits, and with `flip` is mirrored
    half of the time. Raises what decoding raises.
    """
    height, width = preprocessing.size
    # A JPEG is decoded at the smallest scale that leaves the smallest crop at least twice the input size.
    scale = 2 / math.sqrt(crop)
    least = math.ceil(scale * width), math.ceil(scale * height)
    resample = _FILTERS.get(preprocessing.interpolation, Image.Resampling.BICUBIC)
    with decoding(data, least=lambda _: least, limits=limits, note=note) as whole:
        view = whole.resize((width, height), resample, box=_box(whole.size, crop=crop, rng=rng))
    return mirrored(view, flip=flip, rng=rng)


def mirrored(image: Image.Image, *, flip: bool, rng: np.random.Generator) -> Image.Image:
    """The image, and with `flip` half of the time its mirror image."""
    return ImageOps.mirror(image) if flip and rng.random() < 0.5 else image


def _box(size: tuple[int, int], *, crop: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """The box of a crop (left, top, right, bottom), in pixels of an image of the `size` (width, height)."""
    width, height = size
    for _ in range(_TRIES):
        area = width * height * rng.uniform(crop, 1)
        ratio = math.exp(rng.uniform(math.log(_RATIOS[0]), math.log(_RATIOS[1])))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    # No box was found, for the image is long and narrow: the middle of it.
    w, h = min(width, height * _RATIOS[1]), min(height, width / _RATIOS[0])
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2
