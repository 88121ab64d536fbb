"""Resizes images to a model's input size, as its checkpoint states and open_clip does it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from clipcli.images.lines import fitted_line, is_line, middle_of_line

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Preprocessing

Resize = Callable[[Image.Image], Image.Image]


# Gives the least (width, height) to decode an upright image of (width, height) at.
Least = Callable[[tuple[int, int]], tuple[int, int]]


def least_pixels(preprocessings: Sequence[Preprocessing], *, decode: str) -> Least | None:
    """The least size to decode at, for `--decode fast`: twice the size that any of the preprocessings resizes to.

    `None` for the other ways to decode: they decode at full size.
    """
    if decode != "fast":
        return None
    each = [_least_of(preprocessing) for preprocessing in preprocessings]

    def least(size: tuple[int, int]) -> tuple[int, int]:
        widths, heights = zip(*(one(size) for one in each), strict=True)
        return max(widths), max(heights)

    return least


def _least_of(preprocessing: Preprocessing) -> Least:
    height, width = preprocessing.size
    if preprocessing.resize_mode == "longest":
        return partial(_twice_fitted, width=width, height=height)
    # The image is squashed to this size, or resized until both sides reach it, then cropped.
    return lambda _: (2 * width, 2 * height)


def _twice_fitted(size: tuple[int, int], *, width: int, height: int) -> tuple[int, int]:
    """Twice the size of the image when it is scaled to fit into `width` × `height`."""
    ratio = max(size[0] / width, size[1] / height)
    return math.ceil(2 * size[0] / ratio), math.ceil(2 * size[1] / ratio)


def resizer(preprocessing: Preprocessing) -> Resize:
    """A function that resizes and crops an RGB image to the model's input size, as uint8, exactly as open_clip does.

    Of a line of pixels only the part that is left by the crop is computed.
    """
    first, *others = resize_steps(preprocessing)
    of_line = {"shortest": middle_of_line, "longest": fitted_line}.get(preprocessing.resize_mode)

    def resize(image: Image.Image) -> Image.Image:
        image = first(image) if of_line is None or not is_line(image.size) else of_line(image, preprocessing)
        for step in others:
            image = step(image)
        return image

    return resize


def resize_steps(preprocessing: Preprocessing) -> Sequence[Callable[[Any], Any]]:
    """The steps of `resizer`, from open_clip's inference transform."""
    from clipcli.backbones.library import open_clip

    config = open_clip.transform.PreprocessCfg(
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        interpolation=preprocessing.interpolation,
        resize_mode=preprocessing.resize_mode,
        fill_color=preprocessing.fill_color,
    )
    # The last two steps, ToTensor and Normalize, are done for a whole batch on the device.
    steps: Sequence[Callable[[Any], Any]]
    steps = open_clip.transform.image_transform_v2(config, is_train=False).transforms[:-2]
    return steps
