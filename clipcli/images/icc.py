"""The ICC profile of an image: its own, or one made of what its EXIF or its PNG chunks say of its colours."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import ExifTags, Image

Point = tuple[float, float]
# The chromaticities (x, y) of red, green, blue and white.
Chromaticities = tuple[Point, Point, Point, Point]
_D65 = (0.3127, 0.3290)
SRGB: Chromaticities = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
ADOBE_RGB: Chromaticities = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
ADOBE_GAMMA = 563 / 256
# The white of all profiles, and the matrix to the responses of cones in which whites are adapted (Bradford).
_D50 = (0.9642, 1.0, 0.8249)
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# A gAMA chunk of about 1/2.2 is written for sRGB, whose curve is close to it.
_USUAL_GAMMA, _NEAR_GAMMA, _NEAR_POINT = 1 / 2.2, 0.005, 0.002
_EXIF_ADOBE_RGB, _INTEROP_INDEX = 2, 1


def profile_of(image: Image.Image) -> bytes | None:
    """The ICC profile of the colours of an open image; `None` where nothing says that they are others than sRGB's."""
    profile = image.info.get("icc_profile")
    if profile:
        return bytes(profile)
    if image.format == "PNG":
        return None if "srgb" in image.info else _of_png(image)
    is_adobe_rgb = image.mode in ("RGB", "L") and _is_adobe_rgb(image)
    return matrix_profile(ADOBE_RGB, gamma=ADOBE_GAMMA) if is_adobe_rgb else None


@lru_cache(16)
def matrix_profile(chromaticities: Chromaticities, *, gamma: float | None) -> bytes:
    """An ICC profile (version 4) of RGB with these primaries, and this gamma or the curve of sRGB."""
    red, green, blue = (_xyz(column) for column in _to_d50(chromaticities).T)
    if gamma is None:
        curve = (
            b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
        )
    else:
        curve = b"para" + bytes(4) + struct.pack(">HH", 0, 0) + _fixed((gamma,))
    tags = {b"wtpt": _xyz(_D50), b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    start = struct.pack(">I4xI4s4s4s12x4s28x", offset + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (start + _fixed(_D50)).ljust(128, b"\0") + table + body


def _of_png(image: Image.Image) -> bytes | None:
    """The profile of the chunks gAMA and cHRM, as browsers read them: the second counts only beside the first."""
    gamma = image.info.get("gamma")
    if not gamma:
        return None
    flat = image.info.get("chromaticity")
    # The chunk begins with the white point.
    points = SRGB if flat is None else (flat[2:4], flat[4:6], flat[6:8], flat[0:2])
    usual_gamma = abs(gamma - _USUAL_GAMMA) < _NEAR_GAMMA
    if usual_gamma and np.abs(np.subtract(points, SRGB)).max() < _NEAR_POINT:
        return None
    try:
        return matrix_profile(tuple(tuple(point) for point in points), gamma=None if usual_gamma else 1 / gamma)
    except (ZeroDivisionError, np.linalg.LinAlgError, struct.error, OverflowError, ValueError):
        return None


def _is_adobe_rgb(image: Image.Image) -> bool:
    """True where EXIF says that the colours are Adobe RGB's: by number, as some do, or by its sign R03 (DCF 2.0)."""
    try:
        exif = image.getexif()
        if exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == _EXIF_ADOBE_RGB:
            return True
        sign = exif.get_ifd(ExifTags.IFD.Interop).get(_INTEROP_INDEX, "")
    # Broken EXIF raises nearly any exception, and says nothing then.
    except Exception:
        return False
    return str(sign.decode("latin-1") if isinstance(sign, bytes) else sign).startswith("R03")


def _to_d50(chromaticities: Chromaticities) -> np.ndarray:
    """The matrix `[3, 3]` from linear RGB to XYZ under D50."""
    *primaries, white = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in chromaticities)
    columns = np.stack(primaries, axis=1)
    to_xyz = columns * np.linalg.solve(columns, white)
    gains = np.diag((_CONES @ _D50) / (_CONES @ white))
    adapted: np.ndarray = np.linalg.inv(_CONES) @ gains @ _CONES @ to_xyz
    return adapted


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Sequence[float]) -> bytes:
    """Numbers as ICC writes them, with 16 bits after the point."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
