"""TrivialAugment (Müller and Hutter 2021): one random change of colour or shape for each image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Change = Callable[[Image.Image, float], Image.Image]


def trivial_augment(image: Image.Image, *, rng: np.random.Generator) -> Image.Image:
    """The RGB image after one of `CHANGES`, drawn with its strength uniformly: the paper's wide space."""
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    return change(image, float(rng.uniform(-1, 1)))


def _enhance(enhancer: Callable[[Image.Image], ImageEnhance._Enhance]) -> Change:
    return lambda image, strength: enhancer(image).enhance(1 + 0.99 * strength)


def _move(*, shear: float = 0, shift: float = 0, across: bool) -> Change:
    """Shear by a slope, or shift by pixels, along the rows (`across`) or the columns."""

    def change(image: Image.Image, strength: float) -> Image.Image:
        slope, offset = shear * strength, shift * strength
        matrix = (1, slope, offset, 0, 1, 0) if across else (1, 0, 0, slope, 1, offset)
        return image.transform(image.size, Image.Transform.AFFINE, matrix)

    return change


# Each takes an RGB image and a strength from -1 to 1.
CHANGES: tuple[Change, ...] = (
    lambda image, _: image,
    lambda image, _: ImageOps.autocontrast(image),
    lambda image, _: ImageOps.equalize(image),
    lambda image, strength: ImageOps.solarize(image, round(255 * (1 - abs(strength)))),
    lambda image, strength: ImageOps.posterize(image, 8 - round(6 * abs(strength))),
    lambda image, strength: image.rotate(135 * strength),
    _enhance(ImageEnhance.Color),
    _enhance(ImageEnhance.Contrast),
    _enhance(ImageEnhance.Brightness),
    _enhance(ImageEnhance.Sharpness),
    _move(shear=0.99, across=True),
    _move(shear=0.99, across=False),
    _move(shift=32, across=True),
    _move(shift=32, across=False),
)
