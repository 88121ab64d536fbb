"""The pixels of a large JPEG as its file stores them, decoded by libjpeg-turbo straight into an array.

They are Pillow's, which needs twice as long for them, as it copies each pixel into four bytes. What is odd about a file
is left to Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from clipcli.images.colours import is_srgb
from clipcli.images.lines import is_line

# An image of fewer pixels is resized by Pillow, as open_clip does it, to the bit.
_LARGE = 1 << 20
# Each thread keeps the memory of up to so many bytes for its next image: the system takes its time to give it anew.
_KEPT = 64 << 20
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

    They are good until the same thread decodes its next image.
    """

    pixels: NDArray[np.uint8]
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


def stored_jpeg(image: Image.Image, data: bytes, *, color: str) -> Stored | None:
    """The pixels of a large JPEG in sRGB, open and not decoded, of these bytes; `None` for what Pillow must decode."""
    if not (isinstance(image, JpegImageFile) and image.mode == "RGB" and is_large(image.size)):
        return None
    is_reduced = bool(image.decoderconfig) and image.decoderconfig[0] != 1
    if is_reduced or not data.startswith(_JPEG) or image.tell() or (color == "managed" and not is_srgb(image)):
        return None
    decoder = _decoder()
    try:
        pixels = None if decoder is None else decoder.decode_jpeg(data, buffer=_memory(3 * image.width * image.height))
    # It is strict, and Pillow says what is wrong, or takes what there is.
    except (RuntimeError, ValueError):
        return None
    if pixels is None or pixels.shape != (image.height, image.width, 3):
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


_KEEPING = local()


def _memory(size: int) -> NDArray[np.uint8]:
    """Memory of at least so many bytes: the thread's own, if it is enough."""
    kept: NDArray[np.uint8] | None = getattr(_KEEPING, "memory", None)
    if kept is not None and kept.size >= size:
        return kept
    memory = np.empty(size, np.uint8)
    if size <= _KEPT:
        _KEEPING.memory = memory
    return memory
