"""From an image to the model's input size: the checkpoint's own way, as open_clip does it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Preprocessing

Resize = Callable[[Image.Image], Image.Image]


# From the width and height of an upright image to the least of them that decoding must leave.
Least = Callable[[tuple[int, int]], tuple[int, int]]


def least_pixels(ways: Sequence[Preprocessing], *, decode: str) -> Least | None:
    """For `fast` twice the size that an image is resized to in any of these ways, and never less; else nothing."""
    if decode != "fast":
        return None
    each = [_least_of(preprocessing) for preprocessing in ways]

    def least(size: tuple[int, int]) -> tuple[int, int]:
        widths, heights = zip(*(one(size) for one in each), strict=True)
        return max(widths), max(heights)

    return least


def _least_of(preprocessing: Preprocessing) -> Least:
    height, width = preprocessing.size
    if preprocessing.resize_mode == "longest":
        return partial(_twice_fitted, width=width, height=height)
    # Squashed to this size, or resized until both sides reach it and then cropped.
    return lambda _: (2 * width, 2 * height)


def _twice_fitted(size: tuple[int, int], *, width: int, height: int) -> tuple[int, int]:
    """Twice the size that an image has when it just fits into `width` and `height`."""
    ratio = max(size[0] / width, size[1] / height)
    return math.ceil(2 * size[0] / ratio), math.ceil(2 * size[1] / ratio)


def resizer(preprocessing: Preprocessing) -> Resize:
    """The checkpoint's own way from an image to the model's input size, as open_clip does it, up to uint8."""
    steps = resize_steps(preprocessing)

    def resize(image: Image.Image) -> Image.Image:
        for step in steps:
            image = step(image)
        return image

    return resize


def resize_steps(preprocessing: Preprocessing) -> Sequence[Callable[[Any], Any]]:
    """The steps of it."""
    from clipcli.backbones.library import open_clip

    config = open_clip.transform.PreprocessCfg(
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        interpolation=preprocessing.interpolation,
        resize_mode=preprocessing.resize_mode,
        fill_color=preprocessing.fill_color,
    )
    # The last two steps, to a tensor and normalising, are done for a whole batch on the device.
    steps: Sequence[Callable[[Any], Any]]
    steps = open_clip.transform.image_transform_v2(config, is_train=False).transforms[:-2]
    return steps
