"""TrivialAugment (Müller and Hutter 2021): one change of colours or shape for each image, of any strength."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Change = Callable[[Image.Image, float], Image.Image]


def trivial_augment(image: Image.Image, *, chance: np.random.Generator) -> Image.Image:
    """The image after a change drawn from all, as strong as a uniform draw says: the paper's wide space."""
    change = CHANGES[int(chance.integers(len(CHANGES)))]
    return change(image, float(chance.uniform(-1, 1)))


def _enhanced(enhancer: Callable[[Image.Image], ImageEnhance._Enhance]) -> Change:
    return lambda image, strength: enhancer(image).enhance(1 + 0.99 * strength)


def _moved(*, shear: float = 0, shift: float = 0, across: bool) -> Change:
    def change(image: Image.Image, strength: float) -> Image.Image:
        slope, offset = shear * strength, shift * strength
        matrix = (1, slope, offset, 0, 1, 0) if across else (1, 0, 0, slope, 1, offset)
        return image.transform(image.size, Image.Transform.AFFINE, matrix)

    return change


CHANGES: tuple[Change, ...] = (
    lambda image, _: image,
    lambda image, _: ImageOps.autocontrast(image),
    lambda image, _: ImageOps.equalize(image),
    lambda image, strength: ImageOps.solarize(image, round(255 * (1 - abs(strength)))),
    lambda image, strength: ImageOps.posterize(image, 8 - round(6 * abs(strength))),
    lambda image, strength: image.rotate(135 * strength),
    _enhanced(ImageEnhance.Color),
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Sharpness),
    _moved(shear=0.99, across=True),
    _moved(shear=0.99, across=False),
    _moved(shift=32, across=True),
    _moved(shift=32, across=False),
)
