"""Resizes images that are hardly more than a line of pixels, and computes only what is left of them in the end.

Resized until its shorter side reaches 224 pixels, a line of 1 × 65,000 would have 3 billion, and all but the middle
would be cropped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from clipcli.backbones.preprocessing import Preprocessing

# An image whose sides have this ratio or a larger one is a line. Others are resized in open_clip's own steps.
_RATIO = 20
_FILTERS = {"bilinear": Image.Resampling.BILINEAR}


def is_line(size: tuple[int, int]) -> bool:
    """True for the width and height of an image that is hardly more than a line."""
    return max(size) >= _RATIO * min(size)


def middle_of_line(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The image resized until both sides reach the model's, and cropped to its middle: open_clip's pixels, but that few
    are rounded otherwise, to the next level.

    The passes are in the order that Pillow chooses, as each rounds: it resizes the height first, where that shrinks by
    more than twice as many pixels as the width (since Pillow 13).
    """
    height, width = preprocessing.size
    whole = resized_size(image.size, (width, height))
    columns = _Side(image.width, whole[0], width)
    rows = _Side(image.height, whole[1], height)
    part = image.crop((columns.first, rows.first, columns.last, rows.last))
    filter_ = filter_of(preprocessing, covering=True)
    if 0 < rows.saved > 2 * columns.saved:
        part = part.resize((part.width, height), filter_, box=(0, rows.start, part.width, rows.end))
        return part.resize((width, height), filter_, box=(columns.start, 0, columns.end, height))
    part = part.resize((width, part.height), filter_, box=(columns.start, 0, columns.end, part.height))
    return part.resize((width, height), filter_, box=(0, rows.start, width, rows.end))


def fitted_size(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) at which an image of a `size` fits into `most`; open_clip would leave lines no pixel."""
    ratio = max(size[1] / most[1], size[0] / most[0])
    return max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio))


class _Side:
    """One side of an image of `length` pixels, to be resized to `resized` and cropped to the middle `kept` of these.

    The pixels from `first` to before `last` are enough for that, and in them the crop is from `start` to `end`.
    """

    def __init__(self, length: int, resized: int, kept: int) -> None:
        self.saved = length - resized
        scale = length / resized
        left = round((resized - kept) / 2)
        start, end = left * scale, min(length, (left + kept) * scale)
        # A bicubic filter looks at two pixels on each side, of the larger of both images.
        margin = 2 * max(1, scale) + 1
        self.first, self.last = max(0, math.floor(start - margin)), min(length, math.ceil(end + margin))
        # Positions are small in this part, which Pillow keeps as floats of 32 bits.
        self.start, self.end = start - self.first, end - self.first


def resized_size(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) to which open_clip resizes an image of a `size`, so that no side is below `least`."""
    width, height = size
    if least[0] == least[1]:
        longer = int(least[0] * max(size) / min(size))
        return (least[0], longer) if width <= height else (longer, least[0])
    ratio = min(width / least[0], height / least[1])
    return round(width / ratio), round(height / ratio)


def filter_of(preprocessing: Preprocessing, *, covering: bool = False) -> Image.Resampling:
    """The filter to resize with; for an input that is not square open_clip has one of its own in `shortest`."""
    if covering and preprocessing.size[0] != preprocessing.size[1]:
        return Image.Resampling.BICUBIC
    return _FILTERS.get(preprocessing.interpolation, Image.Resampling.BICUBIC)
