"""Images in other colours than sRGB: what is seen is the picture, and not the numbers in its file."""

from __future__ import annotations

import io
import itertools
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

import clipcli
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.commands.train.augment import random_view, train_view
from clipcli.images.card import plain_jpeg
from clipcli.images.colours import is_srgb
from clipcli.images.decode import decode
from clipcli.images.icc import ADOBE_GAMMA, ADOBE_RGB, SRGB, Chromaticities, matrix_profile
from clipcli.images.kinds import COLORS
from clipcli.notices import Notices

P3: Chromaticities = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290))
PROPHOTO: Chromaticities = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
PROFILES = {
    "Display P3": matrix_profile(P3, gamma=None),
    "Adobe RGB": matrix_profile(ADOBE_RGB, gamma=ADOBE_GAMMA),
    "ProPhoto": matrix_profile(PROPHOTO, gamma=1.8),
}
# The colour of sRGB, and the same in the other spaces by the matrices of CSS Color 4.
COLOUR = (200, 85, 60)
SAME = {"Display P3": (186, 92, 68), "Adobe RGB": (175, 86, 64), "ProPhoto": (141, 85, 53)}


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """A file of this picture."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def plain(colour: Any, mode: str = "RGB") -> Image.Image:
    """A picture of one colour."""
    return Image.new(mode, (16, 16), colour)


def seen(data: bytes, **options: Any) -> tuple[int, ...]:
    """The colour in the middle of a decoded image."""
    image = decode(data, **options)
    assert image.mode == "RGB"
    return tuple(int(level) for level in np.asarray(image)[8, 8])


def opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    """A profile of Pillow's."""
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_colours_of_a_profile_become_srgb(name: str, format: str, options: dict[str, Any]) -> None:
    """immich#3136: photos in Display P3, Adobe RGB and ProPhoto were read as if they were sRGB."""
    data = saved(plain(SAME[name]), format, icc_profile=PROFILES[name], **options)
    np.testing.assert_allclose(seen(data), COLOUR, atol=3)
    np.testing.assert_allclose(seen(data, color="raw"), SAME[name], atol=2)


@pytest.mark.parametrize("name", PROFILES)
def test_a_picture_is_converted_as_image_cms_does_it(name: str) -> None:
    """immich#3136."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    expected = ImageCms.profileToProfile(image, opened(PROFILES[name]), ImageCms.createProfile("sRGB"))
    np.testing.assert_array_equal(np.asarray(decode(saved(image, icc_profile=PROFILES[name]))), np.asarray(expected))


@pytest.mark.parametrize("name", ["sRGB", "Pillow's sRGB"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA"])
def test_srgb_keeps_its_exact_pixels(name: str, mode: str) -> None:
    profiles = {
        "sRGB": matrix_profile(SRGB, gamma=None),
        "Pillow's sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)).convert(mode)
    with_profile = decode(saved(image, icc_profile=profiles[name]))
    np.testing.assert_array_equal(np.asarray(with_profile), np.asarray(decode(saved(image))))


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey, of version 2."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    start = 128 + 4 + 24
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", start, 20) + b"kTRC" + struct.pack(">II", start + 20, 16)
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + 36, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    return (head + white[8:]).ljust(128, b"\0") + tags + white + curve


def test_grey_profiles_count_too() -> None:
    """128 of gamma 1 is half of the light, which is 188 in sRGB."""
    data = saved(plain(128, "L"), icc_profile=grey_profile(1.0))
    assert seen(data) == (188,) * 3
    assert seen(data, color="raw") == (128,) * 3
    deep = Image.fromarray(np.full((16, 16), 128 * 257, np.uint16))
    assert seen(saved(deep, "TIFF", icc_profile=grey_profile(1.0))) == (188,) * 3
    seen_over_white = seen(saved(plain((128, 127), "LA"), icc_profile=grey_profile(1.0)))
    np.testing.assert_allclose(seen_over_white, (222,) * 3, atol=1)


def test_a_grey_picture_may_have_a_profile_of_colours() -> None:
    data = saved(plain(128, "L"), "JPEG", icc_profile=matrix_profile(SRGB, gamma=1.0))
    assert seen(data) == (188,) * 3


def test_colours_are_converted_before_they_lie_over_white() -> None:
    """Half of light grey of gamma 1 over white: converted afterwards it would be darker."""
    profile = matrix_profile(SRGB, gamma=1.0)
    half = saved(plain((128, 128, 128, 127), "RGBA"), icc_profile=profile)
    np.testing.assert_allclose(seen(half), (222,) * 3, atol=1)
    key = plain((128, 128, 128))
    key.putpixel((0, 0), (1, 2, 3))
    image = decode(saved(key, icc_profile=profile, transparency=(1, 2, 3)))
    assert (image.getpixel((0, 0)), image.getpixel((8, 8))) == ((255,) * 3, (188,) * 3)
    palette = plain((128, 128, 128)).quantize(2)
    assert seen(saved(palette, icc_profile=profile)) == (188,) * 3


# The colours of solid inks on coated paper, as CIELAB: cyan, magenta, yellow, and two or three of them together.
INKS = {
    "": (100, 0, 0),
    "C": (55, -37, -50),
    "M": (48, 74, -3),
    "Y": (89, -5, 93),
    "CM": (24, 17, -46),
    "CY": (50, -65, 27),
    "MY": (47, 68, 48),
    "CMY": (23, 0, 0),
}


def cmyk_profile() -> bytes:
    """An ICC profile of these inks, of version 2: a table with two steps for each of them, and black."""
    corners = itertools.product(*(("", ink) for ink in "CMYK"))
    table = bytes(
        level
        for corner in corners
        for lightness, a, b in [(0, 0, 0) if "K" in corner else INKS["".join(corner)]]
        for level in (round(lightness * 2.55), a + 128, b + 128)
    )
    unit = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + bytes(range(256)) * 4 + table + bytes(range(256)) * 3
    white = struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    start = 128 + 4 + 24
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", start, 20, b"A2B0", start + 20, len(lut))
    size = start + 20 + len(lut)
    head = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp") + white
    return head.ljust(128, b"\0") + tags + b"XYZ " + bytes(4) + white + lut


@pytest.mark.parametrize(("format", "options"), [("JPEG", {"quality": 100}), ("TIFF", {})])
@pytest.mark.parametrize("inks", ["", "C", "M", "Y", "MY", "CMY"])
def test_cmyk_is_seen_as_its_profile_prints_it(inks: str, format: str, options: dict[str, Any]) -> None:
    """immich#3136: without the profile cyan is (0, 255, 255), which no press prints."""
    image = plain(tuple(255 * (ink in inks) for ink in "CMYK"), "CMYK")
    lightness, a, b = INKS[inks]
    lab = plain((round(lightness * 2.55), a + 128, b + 128), "LAB")
    from_lab = ImageCms.profileToProfile(
        lab, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert from_lab is not None
    data = saved(image, format, icc_profile=cmyk_profile(), **options)
    np.testing.assert_allclose(seen(data), from_lab.getpixel((0, 0)), atol=4)
    naive = tuple(255 * (ink not in inks) for ink in "CMY")
    np.testing.assert_allclose(seen(data, color="raw"), naive, atol=3)


BROKEN = (
    "1 image has a colour profile that cannot be used, a.png: colours were taken as if there were none; "
    "export anew what looks wrong"
)


@pytest.mark.parametrize(
    ("image", "profile"),
    [
        (plain(COLOUR), b"no profile"),
        (plain(COLOUR), PROFILES["Adobe RGB"][:150]),
        (plain(COLOUR), ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()),
        (plain(COLOUR), grey_profile(1.0)),
    ],
    ids=["garbage", "cut short", "of Lab", "of grey"],
)
def test_a_profile_that_cannot_be_used_is_passed_over_and_said(image: Image.Image, profile: bytes) -> None:
    notices = Notices()
    assert seen(saved(image, icc_profile=profile), note=notices.about("a.png")) == COLOUR
    assert [event.message for event in notices.events()] == [BROKEN]


def test_cmyk_with_a_profile_of_rgb_is_said() -> None:
    notices = Notices()
    data = saved(plain((0, 255, 255, 0), "CMYK"), "TIFF", icc_profile=PROFILES["Adobe RGB"])
    assert seen(data, note=notices.about("a.png")) == (255, 0, 0)
    assert [event.message for event in notices.events()] == [BROKEN]


@pytest.mark.parametrize("color", COLORS)
def test_lab_needs_no_profile(color: str) -> None:
    lab = ImageCms.profileToProfile(
        plain(COLOUR), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    np.testing.assert_allclose(seen(saved(lab, "TIFF"), color=color), COLOUR, atol=2)


@pytest.mark.parametrize("how", ["ColorSpace 2", "R03"])
def test_exif_may_say_adobe_rgb(how: str) -> None:
    """DCF 2.0: cameras write no profile, but R03 into the file."""
    exif = Image.Exif()
    if how == "R03":
        exif.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    else:
        exif.get_ifd(0x8769)[0xA001] = 2
    data = saved(plain(SAME["Adobe RGB"]), "JPEG", quality=100, subsampling=0, exif=exif)
    np.testing.assert_allclose(seen(data), COLOUR, atol=3)
    np.testing.assert_allclose(seen(data, color="raw"), SAME["Adobe RGB"], atol=2)


def test_exif_of_srgb_says_nothing() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 1, 0xA005: {1: "R98"}})
    assert is_srgb(Image.open(io.BytesIO(saved(plain(COLOUR), "JPEG", exif=exif))))


def png(gamma: int | None, *, primaries: tuple[int, ...] | None = None, srgb: bool = False) -> bytes:
    """A PNG with these chunks, of one colour."""
    chunks = PngInfo()
    if srgb:
        chunks.add(b"sRGB", b"\0")
    if gamma is not None:
        chunks.add(b"gAMA", struct.pack(">I", gamma))
    if primaries is not None:
        chunks.add(b"cHRM", struct.pack(">8I", *primaries))
    return saved(plain((128, 128, 128) if primaries is None else SAME["Display P3"]), pnginfo=chunks)


SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(100_000), (188,) * 3),
        (png(45_455), (128,) * 3),
        (png(None), (128,) * 3),
        (png(100_000, srgb=True), (128,) * 3),
        (png(45_455, primaries=P3_POINTS), COLOUR),
        (png(45_455, primaries=SRGB_POINTS), SAME["Display P3"]),
        (png(None, primaries=P3_POINTS), SAME["Display P3"]),
        (png(45_455, primaries=(0,) * 8), SAME["Display P3"]),
    ],
    ids=["gamma 1", "usual gamma", "nothing", "sRGB", "P3", "points of sRGB", "points alone", "broken points"],
)
def test_png_chunks_of_gamma_and_primaries_count_as_in_browsers(data: bytes, expected: tuple[int, ...]) -> None:
    np.testing.assert_allclose(seen(data), expected, atol=2)


def test_threads_share_a_transform() -> None:
    rng = np.random.default_rng(0)
    data = [
        saved(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), icc_profile=profile)
        for profile in PROFILES.values()
        for _ in range(8)
    ]
    alone = [np.asarray(decode(one)) for one in data]
    with ThreadPoolExecutor(8) as pool:
        for expected, found in zip(alone * 4, pool.map(decode, data * 4), strict=True):
            np.testing.assert_array_equal(np.asarray(found), expected)


def test_training_sees_the_same_colours() -> None:
    data = saved(plain(SAME["Display P3"]), icc_profile=PROFILES["Display P3"])
    way = Preprocessing((8, 8), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3, 0)
    rng = np.random.default_rng(0)
    cropped = random_view(data, preprocessing=way, crop=0.5, flip=True, rng=rng)
    whole = train_view(way, crop=1.0, flip=False)(data, rng, Notices().about("a.png"))
    for image in (cropped, whole):
        np.testing.assert_allclose(image.getpixel((4, 4)), COLOUR, atol=1)


def test_a_card_decodes_only_srgb() -> None:
    plain_data = saved(plain(COLOUR), "JPEG")
    wide = saved(plain(COLOUR), "JPEG", icc_profile=PROFILES["Display P3"])
    srgb = saved(plain(COLOUR), "JPEG", icc_profile=matrix_profile(SRGB, gamma=None))
    broken = saved(plain(COLOUR), "JPEG", icc_profile=b"no profile")
    assert [plain_jpeg(data) is not None for data in (plain_data, srgb, wide, broken)] == [True, True, False, False]
    assert all(plain_jpeg(data, color="raw") is not None for data in (plain_data, srgb, wide, broken))


def test_labels_are_those_of_the_same_picture_in_srgb_and_never_from_the_other_cache(
    tmp_path: Path, model: str
) -> None:
    """immich#3136."""
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
    (tmp_path / "wide.png").write_bytes(saved(pixels, icc_profile=PROFILES["ProPhoto"]))
    (tmp_path / "same.png").write_bytes(saved(decode(saved(pixels, icc_profile=PROFILES["ProPhoto"]))))
    (tmp_path / "numbers.png").write_bytes(saved(pixels))

    def scores(color: str) -> dict[str, dict[str, float]]:
        rows = clipcli.classify(tmp_path, labels=["a", "b"], model=model, score="cosine", top_k=2, color=color)
        return {Path(row.path).stem: dict(zip(row.labels, row.scores, strict=True)) for row in rows}

    for _ in range(2):
        managed, raw = scores("managed"), scores("raw")
        assert managed["wide"] == pytest.approx(managed["same"], abs=1e-6)
        assert raw["wide"] == pytest.approx(raw["numbers"], abs=1e-6)
        assert managed["wide"] != pytest.approx(raw["wide"], abs=1e-4)
