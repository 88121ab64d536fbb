"""Resizes large images in two passes, with weights that are whole numbers: near Pillow's pixels, and sooner.

The first pass rounds about one value of a thousand otherwise than Pillow's. A channel of the result differs by a level
at most, unless the values of nearly all rows that the filter reaches over are rounded otherwise at once: rows that
nearly repeat, as in stripes. Then it can be two levels, and never more: the weights' sizes add up to less than 1.2.

cykooz-resizer computes them, and where that is not installed torch, with the same result to the bit. A pass is done in
strips, which stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from clipcli.images.stored import Pixels, Stored, is_large

# Resizes pixels `[H, W, 3]` to a width and a height.
Step = Callable[[Pixels, tuple[int, int]], Pixels]
# What the filters are called in both libraries.
_FILTERS = {Image.Resampling.BICUBIC: ("catmull_rom", "bicubic"), Image.Resampling.BILINEAR: ("bilinear", "bilinear")}
# What shrinks by fewer times is left to Pillow: there the filter reaches over few rows.
_LEAST_TIMES = 3
# Bytes of a strip.
_STRIP = 1 << 21


def scaled(image: Image.Image | Stored, size: tuple[int, int], filter_: Image.Resampling) -> Image.Image:
    """The upright image at a width and height: a large one that gets smaller in two passes, others by Pillow."""
    if not _in_two_passes(image.size, size) or filter_ not in _FILTERS or getattr(image, "mode", "RGB") != "RGB":
        whole = image.upright(Image.fromarray(image.pixels)) if isinstance(image, Stored) else image
        return whole.resize(size, filter_)
    step = _step(filter_)
    if isinstance(image, Stored):
        return image.upright(Image.fromarray(_passes(image, size, step)))
    return Image.fromarray(step(_across(image, size[0], step), size))


def _in_two_passes(size: tuple[int, int], target: tuple[int, int]) -> bool:
    """True for a large image that gets much smaller, of which Pillow would resize the width first: both passes round.

    Pillow 13 begins with the height where that shrinks by more than twice as many pixels.
    """
    columns, rows = size[0] - target[0], size[1] - target[1]
    is_much = all(side >= _LEAST_TIMES * new for side, new in zip(size, target, strict=True))
    return is_large(size) and is_much and rows <= 2 * columns


def _across(image: Image.Image, width: int, step: Step) -> Pixels:
    """An image of Pillow's at another width, in strips of rows."""
    rows = _lines(image.width)
    ends = [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    strips = (np.asarray(image.crop((0, top, image.width, bottom))) for top, bottom in ends)
    return np.concatenate([step(strip, (width, len(strip))) for strip in strips])


def _passes(image: Stored, size: tuple[int, int], step: Step) -> Pixels:
    """Stored pixels resized to an upright size, and stored as they were; the upright width comes first."""
    pixels = image.pixels
    if image.is_turned:
        columns = _lines(len(pixels))
        parts = (pixels[:, left : left + columns] for left in range(0, pixels.shape[1], columns))
        first = np.concatenate([step(part, (part.shape[1], size[0])) for part in parts], axis=1)
        return step(first, size[::-1])
    rows = _lines(pixels.shape[1])
    parts = (pixels[top : top + rows] for top in range(0, len(pixels), rows))
    return step(np.concatenate([step(part, (size[0], len(part))) for part in parts]), size)


def _lines(length: int) -> int:
    """The lines of so many pixels in a strip."""
    return max(1, _STRIP // (3 * length))


def prepare() -> None:
    """Import what resizes large images, so that it takes none of an image's own time and memory."""
    _step(Image.Resampling.BICUBIC)


def _step(filter_: Image.Resampling) -> Step:
    by_package, by_torch = _FILTERS[filter_]
    package = _package()
    return _step_of_torch(by_torch) if package is None else _step_of_package(package, by_package)


@lru_cache
def _package() -> Any:
    """cykooz-resizer; `None` where it is not installed, as on Linux on ARM, for which it has no wheels."""
    try:
        import cykooz_resizer
    except ImportError:
        return None
    return cykooz_resizer


def _step_of_package(package: Any, name: str) -> Step:
    # A resizer is locked while it works, so that each image has its own.
    resizer, kind = package.Resizer(), package.PixelType.U8x3
    options = package.ResizeOptions(package.ResizeAlg.convolution(package.FilterType[name]))

    def step(pixels: Pixels, size: tuple[int, int]) -> Pixels:
        height, width, channels = pixels.shape
        made = package.ImageData(*size, kind)
        resizer.resize(package.ImageData(width, height, kind, pixels.tobytes()), made, options)
        return np.frombuffer(made.get_buffer(), np.uint8).reshape(size[1], size[0], channels)

    return step


def _step_of_torch(name: str) -> Step:
    import torch
    from torch.nn.functional import interpolate

    def step(pixels: Pixels, size: tuple[int, int]) -> Pixels:
        planes = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
        made = interpolate(planes, size[::-1], mode=name, antialias=True, align_corners=False)
        return np.asarray(made[0].permute(1, 2, 0).numpy())

    return step
