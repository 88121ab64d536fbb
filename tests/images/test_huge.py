"""Images above Pillow's limit are decoded in strips: they look as they do when they are decoded whole and reduced."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from clipcli.images import huge
from clipcli.images.decode import attempt, decode
from clipcli.images.frames import each_frame
from clipcli.images.limits import Limits
from clipcli.records import ImageItem, Reference, Skipped

ALLOWED = Limits(max_pixels=1 << 40)


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    """A smooth picture."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (9, 11, 4), dtype=np.uint8), "RGBA")
    return noise.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2)).convert(mode)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "L", {"compress_level": 9}),
        ("PNG", "RGBA", {"compress_level": 1}),
        ("TIFF", "RGB", {}),
        ("TIFF", "L", {"tiffinfo": {278: 7}}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("JPEG", "RGB", {"quality": 95}),
        ("BMP", "RGB", {}),
        ("PNG", "P", {}),
    ],
)
def test_strips_are_the_whole(format: str, mode: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(mode, (307, 203))
    data = saved(image, format, **options)
    whole = decode(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    monkeypatch.setattr(huge, "_LEFT", 8000)
    monkeypatch.setattr(huge, "_STRIP", 307 * 20)
    small = decode(data, limits=ALLOWED)
    if (format, mode) in (("BMP", "RGB"), ("PNG", "P")) or "compression" in options:
        assert small.size == whole.size
        return
    if format == "JPEG":
        assert small.size == (154, 102)
        near = np.asarray(whole.resize(small.size, Image.Resampling.BOX), np.float32)
        assert np.abs(np.asarray(small, np.float32) - near).mean() < 6
    elif mode == "RGBA":
        # Made smaller before it is laid over white.
        assert np.abs(np.asarray(small, np.float32) - np.asarray(whole.reduce(3), np.float32)).mean() < 8
    else:
        np.testing.assert_array_equal(small, whole.reduce(3))


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("isolate", [False, True])
def test_frames_of_one_that_is_allowed_are_counted(isolate: bool, tmp_path: Path) -> None:
    """20,000 × 20,000 pixels in each of three pages, of which there is nothing but the head."""
    pages = [picture("L", (8, 8)) for _ in range(3)]
    data = bytearray(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    for tag in (256, 257):
        for found in re.finditer(struct.pack("<HHI", tag, 4, 1), data):
            data[found.end() : found.end() + 4] = struct.pack("<I", 20_000)
    (tmp_path / "a.tif").write_bytes(data)
    item = ImageItem("a.tif", Reference("file", str(tmp_path / "a.tif")))
    allowed, forbidden = replace(ALLOWED, isolate=isolate), Limits(isolate=isolate)
    assert [one.id for one in each_frame([item], 5, limits=allowed)] == [f"a.tif#frame={n}" for n in (1, 2, 3)]
    assert each_frame([item], 5, limits=forbidden) == [item]


def test_a_truncated_one_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture("RGB", (307, 203)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    monkeypatch.setattr(huge, "_STRIP", 307 * 20)
    item = ImageItem("x", Reference("bytes", member=data[: len(data) // 2]))
    skipped = attempt(item, lambda content: decode(content, limits=ALLOWED))
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "truncated"


def test_one_that_is_allowed_by_default_is_the_same() -> None:
    data = saved(picture("RGB", (307, 203)), "PNG")
    np.testing.assert_array_equal(decode(data, limits=ALLOWED), decode(data))
