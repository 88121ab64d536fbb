"""Brings the colours of images to sRGB, by their ICC profiles."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from clipcli.images.icc import profile_of
from clipcli.notices import Note, Notice

BROKEN_PROFILE = Notice(
    "image has a colour profile that cannot be used",
    "images have colour profiles that cannot be used",
    "colours were taken as if there were none; export anew what looks wrong",
)
# The mode in which Pillow holds the colours of each space that a profile may be for.
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
# The modes of images that a grey profile fits, and those that one for RGB does not.
_GREYS = ("1", "L", "LA", "La")
_NO_RGB = ("CMYK", "LAB")
# A profile that changes no colour by more levels than this is sRGB's, whatever it is called.
_SAME = 1
_PROFILES_KEPT = 32


def to_srgb(image: Image.Image, profile: bytes | None, *, note: Note) -> Image.Image:
    """A loaded image with its colours in sRGB: RGB, or RGBA where it has transparency.

    It stays as it is without a profile, where the profile is sRGB's, and where it cannot be used, which is noted.
    """
    if profile is None:
        return image
    try:
        mode, transform = _transform(profile)
        if transform is None:
            return image
        if not _fits(mode, image):
            raise ValueError(f"a profile for {mode}")
        return _transformed(image, mode, transform)
    # Little CMS and Pillow raise several kinds of errors for a profile that is broken or for another kind of image.
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        note(BROKEN_PROFILE)
        return image


def is_srgb(image: Image.Image) -> bool:
    """True for an open image whose colours are sRGB's already."""
    profile = profile_of(image)
    try:
        return profile is None or _transform(profile)[1] is None
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return False


def _fits(mode: str, image: Image.Image) -> bool:
    if mode == "RGB":
        return image.mode not in _NO_RGB
    return image.mode in _GREYS if mode == "L" else image.mode == mode


def _transformed(image: Image.Image, mode: str, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    if not image.has_transparency_data:
        return transform.apply(image if image.mode == mode else image.convert(mode))
    layer = image.convert("RGBA")
    converted = transform.apply(layer.convert(mode))
    converted.putalpha(layer.getchannel("A"))
    return converted


@lru_cache(_PROFILES_KEPT)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode of the images that a profile is for, and the transform to sRGB; `None` if that leaves colours alone.

    The colours decide and not the name of the profile: there are many of sRGB, and any may be called so.
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _MODES.get(opened.profile.xcolor_space)
    if mode is None:
        raise ValueError(f"a profile for {opened.profile.xcolor_space}")
    # Without its memory of the last pixel a transform has no state, and several threads may use it at once.
    flags = ImageCms.Flags.NOCACHE
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    transform = ImageCms.ImageCmsTransform(opened, srgb, mode, "RGB", flags=flags)
    if mode in ("RGB", "L"):
        sample = _sample(mode)
        changed = np.asarray(transform.apply(sample), np.int16) - np.asarray(sample.convert("RGB"), np.int16)
        if np.abs(changed).max() <= _SAME:
            return mode, None
    return mode, transform


def _sample(mode: str) -> Image.Image:
    """All greys, and for RGB also the colours of a grid."""
    greys = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(greys[None])
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([grid, greys[:, None].repeat(3, axis=1)])[None])
