"""The pixels of a large JPEG as its file stores them, decoded by libjpeg-turbo straight into an array.

They are Pillow's, which needs twice as long for them, as it copies each pixel into four bytes. What is odd about a file
is left to Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from clipcli.images.colours import is_srgb
from clipcli.images.lines import is_line

Pixels = NDArray[np.uint8]
# An image of fewer pixels is resized by Pillow, as open_clip does it, to the bit.
_LARGE = 1 << 20
# Memory of up to so many bytes in all is kept for the next images: the system takes its time to give it anew.
_MOST_KEPT = 128 << 20
_JPEG = b"\xff\xd8\xff"
# What turns an image upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Stored:
    """RGB `pixels` `[H, W, 3]` as a file stores them, and their EXIF `orientation`, from 1 to 8.

    They are good within the block that they were made for.
    """

    pixels: Pixels
    orientation: int

    @property
    def is_turned(self) -> bool:
        """True if the upright image's width is the height of the stored pixels."""
        return self.orientation >= 5

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        height, width, _ = self.pixels.shape
        return (height, width) if self.is_turned else (width, height)

    def upright(self, image: Image.Image) -> Image.Image:
        """An image of pixels that are stored as these are, upright."""
        turn = _TURNS.get(self.orientation)
        return image if turn is None else image.transpose(turn)


def is_large(size: tuple[int, int]) -> bool:
    """True for the width and height of an image that is resized in two passes."""
    return size[0] * size[1] >= _LARGE and not is_line(size)


@contextmanager
def stored_jpeg(image: Image.Image, data: bytes, *, color: str) -> Iterator[Stored | None]:
    """The pixels of a large JPEG in sRGB, open and not decoded, of these bytes; `None` for what Pillow must decode.

    They are for a `with` block: afterwards their memory is another image's.
    """
    if not _is_plain(image, data, color=color) or _decoder() is None:
        yield None
        return
    memory = _KEPT.take(3 * image.width * image.height)
    try:
        yield _decoded(image, data, memory)
    finally:
        _KEPT.give_back(memory)


def _is_plain(image: Image.Image, data: bytes, *, color: str) -> bool:
    if not (isinstance(image, JpegImageFile) and image.mode == "RGB" and is_large(image.size)):
        return False
    is_reduced = bool(image.decoderconfig) and image.decoderconfig[0] != 1
    if is_reduced or not data.startswith(_JPEG) or image.tell():
        return False
    return color != "managed" or is_srgb(image)


def _decoded(image: Image.Image, data: bytes, memory: Pixels) -> Stored | None:
    try:
        pixels = _decoder().decode_jpeg(data, buffer=memory)
    # It is strict, and Pillow says what is wrong, or takes what there is.
    except (RuntimeError, ValueError):
        return None
    if pixels.shape != (image.height, image.width, 3):
        return None
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return Stored(pixels, orientation if orientation in _TURNS else 1)


@lru_cache
def _decoder() -> Any:
    """The package that decodes; `None` where it is not installed, as on some kinds of machines."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


class _Kept:
    """Memory that no image needs at the moment, for the next ones of all threads: of `most` bytes in all."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._free: list[Pixels] = []

    def take(self, size: int) -> Pixels:
        """Memory of at least so many bytes: the smallest that is enough, or new."""
        with self._lock:
            enough = [n for n, memory in enumerate(self._free) if memory.size >= size]
            if enough:
                return self._free.pop(min(enough, key=lambda n: self._free[n].size))
        return np.empty(size, np.uint8)

    def give_back(self, memory: Pixels) -> None:
        """Keep the memory unless it is large, and let go of what was given back first where all would be too much."""
        if 2 * memory.size > self._most:
            return
        with self._lock:
            self._free.append(memory)
            while sum(one.size for one in self._free) > self._most:
                self._free.pop(0)


_KEPT = _Kept(_MOST_KEPT)
