"""Large images: pixels within a level of open_clip's, whoever decodes and resizes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.images import passes, stored
from clipcli.images.decode import decode, decoding_to_resize
from clipcli.images.resize import resize_steps, resizer
from clipcli.images.stored import Stored, is_large
from clipcli.images.wanted import Wanted
from clipcli.notices import unsaid
from clipcli.records import WHOLE

ORIENTATIONS = range(1, 9)
INSTALLED = find_spec("simplejpeg") is not None


def preprocessing(mode: str = "shortest", size: tuple[int, int] = (64, 64), filter_: str = "bicubic") -> Preprocessing:
    """A checkpoint's."""
    return Preprocessing(size, mode, filter_, (0.5,) * 3, (0.5,) * 3, fill_color=9)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Smooth colours, and black and white that meet, where a filter goes beyond both."""
    rng = np.random.default_rng(width * 10_000 + height)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height))
    pixels = np.array(small)
    pixels[height // 3 :: 97] = 255
    pixels[:, width // 3 :: 61] = 0
    pixels[height // 2 :, : width // 4] = rng.integers(0, 256, pixels[height // 2 :, : width // 4].shape, np.uint8)
    return Image.fromarray(pixels).convert(mode)


def written(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def in_steps(image: Image.Image, way: Preprocessing) -> np.ndarray:
    """open_clip's own pixels."""
    stepped: Any = image
    for step in resize_steps(way):
        stepped = step(stepped)
    return np.asarray(stepped, int)


def looked(data: bytes, way: Preprocessing, **wanted: Any) -> np.ndarray:
    """The pixels that the model gets."""
    return np.asarray(Wanted(ways=(way,), **wanted).look()(data, WHOLE, unsaid)[0][0], int)


def is_stored(data: bytes, **how: Any) -> bool:
    """True if Pillow did not decode; where the package is not installed, it always does."""
    with decoding_to_resize(data, **how) as image:
        return isinstance(image, Stored)


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    """At most one level, and that rarely."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found - expected).mean() < 0.01


@pytest.mark.parametrize("size", [(1400, 1051), (1051, 1400), (1201, 1201), (1500, 1000), (2301, 733), (733, 2301)])
@pytest.mark.parametrize(
    "way",
    [
        preprocessing(),
        preprocessing(size=(224, 224)),
        preprocessing(size=(48, 80)),
        preprocessing("squash", filter_="bilinear"),
        preprocessing("longest", size=(81, 75)),
    ],
    ids=lambda way: way.resize_mode,
)
def test_pixels_are_open_clips_within_a_level(size: tuple[int, int], way: Preprocessing) -> None:
    data = written(picture(*size), quality=95)
    assert is_stored(data) == INSTALLED
    expected = in_steps(Image.open(io.BytesIO(data)), way)
    assert_near(looked(data, way), expected)
    np.testing.assert_array_equal(looked(data, way), np.asarray(resizer(way)(decode(data)), int))


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, 0, 9])
def test_a_turned_photo_is_the_same_as_pillow_turns_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for size in ((1321, 900), (900, 1321)):
        data = written(picture(*size), exif=exif)
        assert is_stored(data) == INSTALLED
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        for way in (preprocessing(size=(65, 65)), preprocessing("longest"), preprocessing(size=(40, 60))):
            assert_near(looked(data, way), in_steps(upright, way))
            np.testing.assert_array_equal(looked(data, way), np.asarray(resizer(way)(decode(data)), int))


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 20}])
def test_all_kinds_of_jpegs_are_decoded_as_pillow_does(options: dict[str, Any]) -> None:
    pytest.importorskip("simplejpeg")
    data = written(picture(1203, 917), **options)
    with decoding_to_resize(data) as image:
        assert isinstance(image, Stored)
        np.testing.assert_array_equal(image.pixels, np.asarray(decode(data)))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_are_pillows(mode: str) -> None:
    data = written(picture(1203, 917, mode))
    assert not is_stored(data)
    assert_near(looked(data, preprocessing()), in_steps(Image.open(io.BytesIO(data)).convert("RGB"), preprocessing()))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_are_within_a_level(format: str) -> None:
    data = written(picture(1203, 917), format)
    assert_near(looked(data, preprocessing()), in_steps(Image.open(io.BytesIO(data)).convert("RGB"), preprocessing()))


def test_transparency_is_over_white() -> None:
    image = picture(1203, 917)
    image.putalpha(picture(1203, 917, "L"))
    white = Image.new("RGBA", image.size, (255,) * 4)
    expected = in_steps(Image.alpha_composite(white, image).convert("RGB"), preprocessing())
    assert_near(looked(written(image, "PNG"), preprocessing()), expected)


def test_what_is_odd_is_left_to_pillow() -> None:
    image = picture(1203, 917)
    plain = written(image)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert is_stored(plain) == INSTALLED
    assert not is_stored(written(image, icc_profile=lab))
    assert is_stored(written(image, icc_profile=lab), color="raw") == INSTALLED
    assert not is_stored(plain, least=lambda _: (64, 64))
    assert is_stored(plain, least=lambda size: size) == INSTALLED
    assert not is_stored(written(picture(640, 480)))
    assert not is_stored(plain, whole=True)
    with pytest.raises(OSError, match="truncated"):
        looked(plain[: len(plain) // 2], preprocessing())
    broken = bytearray(plain)
    broken[len(plain) // 2 : len(plain) // 2 + 9] = bytes(range(9))
    np.testing.assert_array_equal(
        looked(bytes(broken), preprocessing()), np.asarray(resizer(preprocessing())(decode(bytes(broken))), int)
    )


def test_without_the_packages_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cykooz_resizer")
    pytest.importorskip("simplejpeg")
    ways = [preprocessing(), preprocessing(size=(224, 224)), preprocessing("squash", filter_="bilinear")]
    files = [written(picture(*size)) for size in ((1203, 917), (917, 1203), (1999, 1111), (1025, 1024))]
    before = [looked(data, way) for data in files for way in ways]
    monkeypatch.setattr(passes, "_package", lambda: None)
    monkeypatch.setattr(stored, "_decoder", lambda: None)
    for data, way in ((data, way) for data in files for way in ways):
        np.testing.assert_array_equal(looked(data, way), before.pop(0))


def test_without_the_package_torch_is_imported_before_the_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_package", lambda: None)
    made: list[str] = []
    monkeypatch.setattr(passes, "_step_of_torch", made.append)
    passes.prepare()
    assert made == ["bicubic"]


def test_memory_is_used_again_and_pixels_are_not_mixed_up() -> None:
    files = [written(picture(*size)) for size in ((1400, 900), (1203, 917), (1500, 1000))]
    apart = [looked(data, preprocessing()) for data in files]
    assert len({pixels.tobytes() for pixels in apart}) == 3
    for data, pixels in [*zip(files, apart, strict=True)][::-1]:
        np.testing.assert_array_equal(looked(data, preprocessing()), pixels)


@pytest.mark.shared
def test_real_photos_of_12_megapixels(shared: Callable[[str], Path]) -> None:
    photo = Image.open(sorted(shared("data/photos").glob("*.jpg"))[3]).convert("RGB")
    data = written(photo.resize((4000, 3000), Image.Resampling.LANCZOS), quality=92)
    way = preprocessing(size=(224, 224))
    assert is_stored(data) == INSTALLED
    assert_near(looked(data, way), in_steps(Image.open(io.BytesIO(data)), way))


@pytest.mark.parametrize(
    ("size", "target", "filter_", "kind"),
    [
        ((2222, 472), (384, 384), Image.Resampling.BICUBIC, "black and white"),
        ((1731, 606), (512, 512), Image.Resampling.BICUBIC, "noise"),
        ((1853, 566), (448, 448), Image.Resampling.BICUBIC, "smooth"),
        ((1100, 1100), (1000, 1000), Image.Resampling.BILINEAR, "noise"),
        ((1920, 1500), (640, 500), Image.Resampling.BICUBIC, "black and white"),
        ((1920, 1500), (600, 480), Image.Resampling.BILINEAR, "smooth"),
    ],
)
def test_what_shrinks_little_is_pillows_and_the_rest_within_a_level(
    size: tuple[int, int], target: tuple[int, int], filter_: Image.Resampling, kind: str
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    if kind == "smooth":
        image = Image.fromarray(pixels[:13, :17]).resize(size)
    else:
        image = Image.fromarray(pixels // 128 * 255 if kind == "black and white" else pixels)
    found, expected = (
        np.asarray(one, int) for one in (passes.scaled(image, target, filter_), image.resize(target, filter_))
    )
    assert np.abs(found - expected).max() == (min(size[0] / target[0], size[1] / target[1]) >= 3)


def test_rows_that_nearly_repeat_are_never_further_than_two_levels() -> None:
    rng = np.random.default_rng(1)
    rows = np.repeat(rng.integers(0, 256, (230, 1600, 3), dtype=np.uint8), 5, axis=0)
    image = Image.fromarray(rows)
    found = np.asarray(passes.scaled(image, (480, 345), Image.Resampling.BICUBIC), int)
    assert 1 <= np.abs(found - np.asarray(image.resize((480, 345)), int)).max() <= 2


def test_memory_that_is_kept_is_bounded_over_all_threads() -> None:
    kept = stored._Kept(100)
    parts = [kept.take(size) for size in (40, 30, 45, 60)]
    assert [part.size for part in parts] == [40, 30, 45, 60]
    for part in parts:
        kept.give_back(part)
    # The first had to go, and the last was too large.
    assert [one.size for one in kept._free] == [30, 45]
    assert kept.take(31) is parts[2]
    assert kept.take(31).size == 31


def test_lines_are_not_large() -> None:
    assert is_large((1024, 1024))
    assert not is_large((1024, 1023))
    assert not is_large((20_000, 1000))
