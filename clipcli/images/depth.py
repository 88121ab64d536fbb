"""Brings images of more than 8 bits to 8, with white where the file says it, or where the values seem to have it."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipcli.notices import Note, Notice

SMALL_PART = Notice(
    "image of more than 8 bits uses a small part of its range",
    "images of more than 8 bits use a small part of their range",
    "values were stretched to be seen; export with 8 bits what should stay dark",
)
NO_RANGE = Notice(
    "image does not say which of its values are black and white",
    "images do not say which of their values are black and white",
    "the least and the largest were taken, or 0 where none is less; export with 8 bits what looks wrong",
)
DEEP_GREYS = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_DEEP_COLOURS = ("RGB;16", "RGBA;16")
_COLOURS = ("R", "G", "B")
# Tags of TIFF files.
_BITS, _PHOTOMETRIC, _MAX_SAMPLE, _SAMPLE_FORMAT, _FLOAT_MAX_SAMPLE, _NO_DATA = 258, 262, 281, 339, 341, 42113
_WHITE_IS_ZERO, _SIGNED = 0, 2
# The largest values of 16 and 32 bits: where a file states them, it says nothing about its own.
_LARGEST = (2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1)
# Below this share of the range an image of 8 bits is nearly black.
_SMALL_SHARE = 1 / 16
# The largest values of 8, 10 and 12 bits.
_WHITES = (255, 1023, 4095)
_DEEP = 65535.0

Values = NDArray[np.float32]


def grey_of_8_bits(image: Image.Image, *, note: Note) -> Image.Image:
    """A grey image of 16 or 32 bits as `L`: scaled rather than clipped. What is no number is black."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2", image.info.get("tag_v2", {}))
    values = _numbers(np.asarray(image, dtype=np.float32), tags)
    levels = _levels(values, full=_full_white(image, tags), stated=_stated_white(tags), note=note)
    return Image.fromarray(255 - levels if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else levels)


def has_deep_colours(image: Image.Image) -> bool:
    """True for an open image that is not loaded yet, in colour with 16 bits each."""
    return any(_raw_mode(tile[3]).startswith(_DEEP_COLOURS) for tile in getattr(image, "tile", ()))


def stretch_deep_colours(image: Image.Image, data: bytes, *, note: Note) -> None:
    """Mend a loaded image of 16 bits in colour, in place, where it uses a small part of its range.

    Pillow takes the high byte of each value, so the low bytes of `data` are read as well.
    """
    high = _colours(image)
    if high.max(initial=0) >= 256 * _SMALL_SHARE:
        return
    low = Image.open(io.BytesIO(data))
    low.tile = [(*tile[:3], _with_low_bytes(tile[3])) for tile in low.tile]  # type: ignore[misc]
    values = high.astype(np.float32) * 256 + _colours(low)
    stretched = Image.fromarray(_levels(values, full=_DEEP, stated=None, note=note))
    bands = dict(zip(_COLOURS, stretched.split(), strict=True))
    image.paste(Image.merge(image.mode, [bands.get(band) or image.getchannel(band) for band in image.getbands()]))


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    """The red, green and blue of an image, `[H, W, 3]`, without its transparency."""
    return np.stack([np.asarray(image.getchannel(band)) for band in _COLOURS], axis=-1)


def _levels(values: Values, *, full: float, stated: float | None, note: Note) -> NDArray[np.uint8]:
    """The values as levels from 0 to 255. `full` is the white of their kind, `stated` that of the file."""
    if not values.size:
        return values.astype(np.uint8)
    least, most = float(values.min()), float(values.max())
    black = min(0.0, least)
    if stated is not None and np.float32(most) <= np.float32(stated):
        white = stated
    else:
        white, notice = _guessed_white(least, most, full=full)
        if notice is not None:
            note(notice)
    levels: NDArray[np.uint8] = np.clip((values - black) / (white - black) * 255, 0, 255).round().astype(np.uint8)
    return levels


def _guessed_white(least: float, most: float, *, full: float) -> tuple[float, Notice | None]:
    """The value that is white, and what to say about it. An image of one value has no contrast to stretch."""
    if most > full:
        return most, NO_RANGE
    if most > full * _SMALL_SHARE or least == most:
        return full, NO_RANGE if least < 0 else None
    white = max(most, 0.0) if full == 1 else next(float(white) for white in _WHITES if most <= white)
    return white, NO_RANGE if least < 0 else SMALL_PART


def _full_white(image: Image.Image, tags: Mapping[int, Any]) -> float:
    """White of this kind of values: 1 for floats, else the largest of 16 bits."""
    if image.mode == "F":
        return 1.0
    return 32767.0 if tags.get(_SAMPLE_FORMAT) == (_SIGNED,) and tags.get(_BITS) == (16,) else _DEEP


def _stated_white(tags: Mapping[int, Any]) -> float | None:
    """The value that a TIFF states to be white; `None` where it is the largest that fits, as it is without a word."""
    stated: Any = tags.get(_FLOAT_MAX_SAMPLE, tags.get(_MAX_SAMPLE))
    if stated is None:
        stated = 2 ** tags[_BITS][0] - 1 if _BITS in tags else None
    white = max(stated) if isinstance(stated, tuple) else stated
    return None if white is None or white in _LARGEST else float(white)


def _numbers(values: Values, tags: Mapping[int, Any]) -> Values:
    """The values with 0 for those that are no numbers, infinite, or stated to hold no data, as GDAL does it."""
    with suppress(KeyError, ValueError):
        values = np.where(values == np.float32(str(tags[_NO_DATA]).strip("\0 ")), 0, values)
    return np.nan_to_num(values, posinf=0, neginf=0)


def _raw_mode(args: object) -> str:
    """The order of bytes in the arguments of a decoder of Pillow."""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _with_low_bytes(args: Any) -> Any:
    """These arguments, but for the other byte of each value."""
    mode = _raw_mode(args)
    big = mode.endswith("B") or (mode.endswith("N") and sys.byteorder == "big")
    other = mode[:-1] + ("L" if big else "B")
    return (other, *args[1:]) if isinstance(args, tuple) else other
