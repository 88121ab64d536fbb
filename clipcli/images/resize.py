"""Resizes images to a model's input size, as its checkpoint states and open_clip does it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from clipcli.images.lines import filter_of, fitted_size, is_line, middle_of_line, resized_size
from clipcli.images.passes import scaled
from clipcli.images.stored import Stored

if TYPE_CHECKING:
    from clipcli.backbones.preprocessing import Preprocessing

Resize = Callable[[Image.Image | Stored], Image.Image]


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
    """A function that resizes and crops an RGB image to the model's input size, as uint8.

    Its pixels are open_clip's. Those of a large image that gets much smaller are near them, as `passes` says, and those
    of a line of pixels but for rounding: of it only the part that is left by the crop is computed.
    """
    return partial(_RESIZES[preprocessing.resize_mode], preprocessing=preprocessing)


def _covering(image: Image.Image | Stored, *, preprocessing: Preprocessing) -> Image.Image:
    """The image resized until both sides reach the model's, and cropped to its middle."""
    if is_line(image.size) and isinstance(image, Image.Image):
        return middle_of_line(image, preprocessing)
    height, width = preprocessing.size
    whole = scaled(image, resized_size(image.size, (width, height)), filter_of(preprocessing, covering=True))
    left, top = round((whole.width - width) / 2), round((whole.height - height) / 2)
    return whole.crop((left, top, left + width, top + height))


def _fitted(image: Image.Image | Stored, *, preprocessing: Preprocessing) -> Image.Image:
    """The image resized to fit into the model's input, in its middle, with the fill colour around it."""
    height, width = preprocessing.size
    fitted = scaled(image, fitted_size(image.size, (width, height)), filter_of(preprocessing))
    whole = Image.new(fitted.mode, (width, height), (preprocessing.fill_color,) * 3)
    whole.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
    return whole


def _squashed(image: Image.Image | Stored, *, preprocessing: Preprocessing) -> Image.Image:
    """The image in the size of the model's input, whatever its own proportions."""
    return scaled(image, preprocessing.size[::-1], filter_of(preprocessing))


_RESIZES: dict[str, Callable[..., Image.Image]] = {"shortest": _covering, "longest": _fitted, "squash": _squashed}


def resize_steps(preprocessing: Preprocessing) -> Sequence[Callable[[Any], Any]]:
    """The steps of open_clip's own inference transform, which take tensors as well."""
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
