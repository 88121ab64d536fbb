"""The size of a JPEG XL by its first bytes: its decoder decodes all of a file before it tells how large it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_CODESTREAM, _CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
# Bits of a side's length, by the two bits before it.
_LENGTHS = (9, 13, 18, 30)
# Width by height, by the number that stands for a usual ratio.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def jxl_size(data: bytes) -> tuple[int, int] | None:
    """The width and height of a JPEG XL (ISO/IEC 18181-1, SizeHeader); `None` for another file or a broken one."""
    start = _codestream(data)
    if not start.startswith(_CODESTREAM):
        return None
    bits = _Bits(start[2:18])
    is_small = bits.take(1)
    height = _side(bits, is_small)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return _side(bits, is_small), height


def _codestream(data: bytes) -> bytes:
    """The first bytes of the image itself, which may lie in a box of a container."""
    if not data.startswith(_CONTAINER):
        return data[:18]
    for kind, start in _boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            # A part has its number before it.
            first = start + (4 if kind == b"jxlp" else 0)
            return data[first : first + 18]
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The kind of each box, and where its content begins."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        yield kind, at + head
        if size < head:
            return
        at += size


class _Bits:
    """Bits from the lowest of the first byte on."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        """The next so many bits as a number, the first the lowest."""
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value


def _side(bits: _Bits, is_small: int) -> int:
    if is_small:
        return 8 * (bits.take(5) + 1)
    return bits.take(_LENGTHS[bits.take(2)]) + 1
