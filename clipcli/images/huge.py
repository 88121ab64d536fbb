"""Decodes images of more pixels than Pillow allows by default in strips, each made smaller at once, to spare memory.

A JPEG is decoded small by its own means. A TIFF is decoded in strips if it is not compressed, and a PNG if it is not
interlaced, both with 8 bits a sample. All others are decoded whole.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

# About so many pixels are left, and so many are decoded at once.
_LEFT, _STRIP = 1 << 25, 1 << 23
# The channels of the modes that can be made smaller and put together.
_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
# Pillow's modes of PNGs of 8 bits, by their kind of colour.
_PNG_MODES = {0: "L", 2: "RGB", 6: "RGBA"}
_ORIENTATION = 274


def shrunk(image: Image.Image, data: bytes) -> Image.Image | None:
    """An open image, which has not been decoded, decoded smaller; `None` where it must be decoded whole.

    A JPEG is only set to be decoded smaller. Raises what Pillow raises.
    """
    factor = math.ceil(math.sqrt(image.width * image.height / _LEFT))
    if isinstance(image, JpegImageFile):
        image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))
        return None
    strips = None
    if image.mode in _CHANNELS and isinstance(image, TiffImageFile):
        strips = _strips_of_tiff(image, data, factor)
    elif isinstance(image, PngImageFile):
        strips = _strips_of_png(image, data, factor)
    return None if strips is None else _put_together(image, strips, factor)


def _put_together(image: Image.Image, strips: Iterator[Image.Image], factor: int) -> Image.Image:
    """The strips, each made smaller by the factor, one below the other. All but the last have a multiple of it rows."""
    small = Image.new(image.mode, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    row = 0
    for strip in strips:
        reduced = strip.reduce(factor)
        small.paste(reduced, (0, row))
        row += reduced.height
    small.info = {key: value for key, value in image.info.items() if key in ("icc_profile", "gamma", "exif", "srgb")}
    small.format = image.format
    return small


def _rows_at_once(width: int, factor: int) -> int:
    return max(1, _STRIP // width // factor) * factor


def _strips_of_tiff(image: TiffImageFile, data: bytes, factor: int) -> Iterator[Image.Image] | None:
    """The rows of a TIFF that is not compressed, in strips; `None` for another, or one that is turned."""
    tiles: list[Any] = list(image.tile)
    plain = all(tile[0] == "raw" and tile[3][0] == image.mode for tile in tiles)
    if not plain or image.tag_v2.get(_ORIENTATION, 1) != 1:
        return None
    return _bands(image, tiles, data, _rows_at_once(image.width, factor))


def _bands(image: TiffImageFile, tiles: list[Any], data: bytes, rows: int) -> Iterator[Image.Image]:
    """Strips of so many rows, of the rows of all tiles that are in them."""
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band: Any = Image.open(io.BytesIO(data))
        band.seek(image.tell())
        band._size = (image.width, bottom - top)
        wanted = (tile for tile in tiles if tile[1][1] < bottom and tile[1][3] > top)
        band.tile = [_rows_of_tile(tile, top, bottom, channels=_CHANNELS[image.mode]) for tile in wanted]
        band.load()
        yield band


def _rows_of_tile(tile: Any, top: int, bottom: int, *, channels: int) -> Any:
    """The part of a tile that is in these rows of the image, placed in a strip of them."""
    left, first, right, last = tile[1]
    stride = tile[3][1] or (right - left) * channels
    start, end = max(first, top), min(last, bottom)
    return tile._replace(extents=(left, start - top, right, end - top), offset=tile[2] + (start - first) * stride)


def _strips_of_png(image: PngImageFile, data: bytes, factor: int) -> Iterator[Image.Image] | None:
    """The rows of a PNG of 8 bits, in strips; `None` for another."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    mode = _PNG_MODES.get(colour)
    if depth != 8 or interlaced or mode != image.mode or "transparency" in image.info:
        return None
    return _png_strips(data, (width, height), mode, colour, _rows_at_once(width, factor))


def _png_strips(data: bytes, size: tuple[int, int], mode: str, colour: int, rows: int) -> Iterator[Image.Image]:
    """Strips of so many rows. Each is decoded by Pillow as a PNG of its own, with the row above it as its first row."""
    width, height = size
    line = 1 + width * _CHANNELS[mode]
    above, lines = b"", _unpacked(data, line * rows)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        packed = next(lines, b"")
        if len(packed) < line * count:
            raise OSError("image file is truncated")
        first = b"\0" + above if top else b""
        head = struct.pack(">IIBBBBB", width, count + (1 if top else 0), 8, colour, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(first + packed[: line * count], 0)), (b"IEND", b"")]
        png = b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))
        strip = Image.open(io.BytesIO(png)).crop((0, 1 if top else 0, width, count + (1 if top else 0)))
        above = strip.crop((0, count - 1, width, count)).tobytes()
        yield strip


def _chunk(kind_and_content: tuple[bytes, bytes]) -> bytes:
    kind, content = kind_and_content
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _unpacked(data: bytes, size: int) -> Iterator[bytes]:
    """What the IDAT chunks of a PNG unpack to, in parts of so many bytes; the last may have fewer."""
    unpacker, at, part = zlib.decompressobj(), 8, bytearray()
    while at + 12 <= len(data) and not unpacker.eof:
        length, kind = struct.unpack_from(">I4s", data, at)
        packed = data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
        while packed:
            part += unpacker.decompress(packed, size - len(part))
            packed = unpacker.unconsumed_tail
            if len(part) == size:
                yield bytes(part)
                part.clear()
    while len(found := unpacker.decompress(b"", size - len(part))):
        part += found
        if len(part) == size:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)
