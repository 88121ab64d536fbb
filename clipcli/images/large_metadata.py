"""Takes out of a file the metadata that are too large for Pillow, which would refuse the image or take long for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

_JPEG = b"\xff\xd8\xff"
_APP1 = 0xE1
# Markers of a JPEG after which no length stands, or its pixels: then nothing more is looked at.
_NO_LENGTH = (0x00, 0x01, *range(0xD0, 0xDB), 0xFF)
# So many parts of 64 KB.
_MOST_EXIF = 32
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow refuses an image for a compressed text or profile of more than this, and for texts of more than the second.
_MOST_EACH, _MOST_TEXTS = 1 << 20, 48 << 20
# Nothing that is shorter than this is unpacked to so much.
_SURELY_SMALL = _MOST_EACH // 1032
# Profiles are read up to this size; a profile in print or of a scanner has up to some megabytes.
_MOST_PROFILE = 16 << 20
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def without_large_metadata(data: bytes) -> tuple[bytes, bytes | None]:
    """The file without metadata that are too large, and its colour profile if that was taken out and can be used.

    The same bytes where there is nothing to take out, as nearly always.
    """
    if data.startswith(_SIGNATURE):
        return _small_png(data)
    return (_small_jpeg(data) if data.startswith(_JPEG) else data), None


def _small_jpeg(data: bytes) -> bytes:
    """A JPEG without parts of its EXIF above the first few: Pillow copies all parts before for each one more."""
    at, exif, out = 2, 0, list[tuple[int, int]]()
    while at + 10 <= len(data) and data[at] == 0xFF and data[at + 1] not in _NO_LENGTH:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _APP1 and data[at + 4 : at + 10] == b"Exif\0\0":
            exif += 1
            out += [(at, end)] if exif > _MOST_EXIF else []
        at = end
    return _without(data, out)


def _small_png(data: bytes) -> tuple[bytes, bytes | None]:
    out: list[tuple[int, int]] = []
    profile, texts = None, 0
    for kind, start, end in _chunks(data):
        content = data[start + 8 : end - 4] if kind in _TEXTS or kind == b"iCCP" else b""
        if kind in _TEXTS:
            packed = _packed_text(kind, content)
            size = len(content) if packed is None else len(_unpacked(packed, most=_MOST_EACH + 1))
            if texts + size > _MOST_TEXTS or (packed is not None and size > _MOST_EACH):
                out.append((start, end))
            else:
                texts += size
        elif len(content) > _SURELY_SMALL:
            unpacked = _unpacked(content.partition(b"\0")[2][1:], most=_MOST_PROFILE + 1)
            if len(unpacked) > _MOST_EACH:
                out.append((start, end))
                profile = unpacked if len(unpacked) <= _MOST_PROFILE else None
    return _without(data, out), profile


def _without(data: bytes, out: Sequence[tuple[int, int]]) -> bytes:
    """The bytes but for those between each start and end of `out`."""
    if not out:
        return data
    kept = zip([0, *(end for _, end in out)], [*(start for start, _ in out), len(data)], strict=True)
    return b"".join(data[start:end] for start, end in kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk, where it begins, and where it ends, as far as they are whole."""
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return
        yield kind, at, at + 12 + size
        at += 12 + size


def _packed_text(kind: bytes, content: bytes) -> bytes | None:
    """The packed text of a chunk; `None` if it is not packed."""
    rest = content.partition(b"\0")[2]
    if kind == b"zTXt":
        return rest[1:]
    if kind == b"iTXt" and rest[:1] == b"\1":
        return rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return None


def _unpacked(data: bytes, *, most: int) -> bytes:
    """The bytes unpacked, up to `most` of them; empty if they are broken."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""
