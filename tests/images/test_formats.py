"""Formats that packages beside Pillow read, frames of files that have several, and what is said without a package."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, features

from clipcli.data.formats import ALSO, FORMATS, FRAMES, format_of
from clipcli.data.reference import NoFrame, NoImage
from clipcli.images import opening
from clipcli.images.decode import attempt, decode, prepare_pillow
from clipcli.images.icc import SRGB, matrix_profile
from clipcli.images.jxl import jxl_size
from clipcli.images.limits import Limits
from clipcli.records import WHOLE, Frame, ImageItem, Reference, Skipped

RED, BLUE = (220, 30, 40), (30, 40, 220)


@pytest.fixture(autouse=True)
def _plugins() -> None:
    prepare_pillow()


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def halves(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def saved(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    halves().save(stream, format, **options)
    return stream.getvalue()


def video(colours: list[tuple[int, int, int]], *, format: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A video of ten frames for each colour."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=format) as container:
        track = container.add_stream(codec, rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), colour))
            for _ in range(10):
                container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


def pdf(colours: list[tuple[int, int, int]]) -> bytes:
    stream = io.BytesIO()
    first, *others = (Image.new("RGB", (40, 60), colour) for colour in colours)
    first.save(stream, "PDF", save_all=True, append_images=others)
    return stream.getvalue()


def dng(*, preview: tuple[int, int] | None) -> bytes:
    """A small RAW, green all over, with the picture that a camera embeds, red and blue, if it does."""
    side = 64
    raw = np.full((side, side), 1000, "<u2")
    raw[0::2, 1::2] = raw[1::2, 0::2] = 40000
    jpeg = b""
    if preview:
        stream = io.BytesIO()
        halves(preview).save(stream, "JPEG")
        jpeg = stream.getvalue()
    rational = struct.pack("<" + "ii" * 9, *(v for n in range(9) for v in ((1 if n % 4 == 0 else 0), 1)))
    neutral = struct.pack("<" + "II" * 3, *(1, 1) * 3)
    tags_raw = [
        (254, 4, 1, 0), (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 32803),
        (273, 4, 1, raw.tobytes()), (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, raw.nbytes),
        (33421, 3, 2, 2 | 2 << 16), (33422, 1, 4, 0 | 1 << 8 | 1 << 16 | 2 << 24),
        (50714, 4, 1, 0), (50717, 4, 1, 65535),
    ]  # fmt: skip
    tags_both = [
        (271, 2, 5, b"Test\0"), (272, 2, 5, b"Test\0"), (50706, 1, 4, 1 | 4 << 8), (50708, 2, 5, b"Test\0"),
        (50721, 10, 9, rational), (50728, 5, 3, neutral), (50778, 3, 1, 21),
    ]  # fmt: skip
    if not preview:
        return _tiff(sorted(tags_raw + tags_both))
    tags_preview = [
        (254, 4, 1, 1), (256, 4, 1, preview[0]), (257, 4, 1, preview[1]), (258, 3, 1, 8), (259, 3, 1, 7),
        (262, 3, 1, 6), (273, 4, 1, jpeg), (277, 3, 1, 3), (278, 4, 1, preview[1]), (279, 4, 1, len(jpeg)),
        (330, 4, 1, tags_raw),
    ]  # fmt: skip
    return _tiff(sorted(tags_preview + tags_both, key=lambda tag: tag[0]))


def _tiff(tags: list) -> bytes:
    """A little-endian TIFF of one directory; a value of bytes, or a list for a directory, lies behind it."""
    body = bytearray(b"II*\0\x08\0\0\0")

    def write(tags: list) -> int:
        at = len(body)
        body.extend(bytes(2 + 12 * len(tags) + 4))
        struct.pack_into("<H", body, at, len(tags))
        for n, (tag, kind, count, value) in enumerate(tags):
            if isinstance(value, list):
                value = write(value)
            elif isinstance(value, bytes):
                body.extend(bytes(len(body) % 2))
                place, value = len(body), value
                body.extend(value)
                value = place
            struct.pack_into("<HHII", body, at + 2 + 12 * n, tag, kind, count, value)
        return at

    write(tags)
    return bytes(body)


def sides(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """The mean colours of the left and the right of an image."""
    pixels = np.asarray(image, np.float32)
    quarter = pixels.shape[1] // 4
    return pixels[:, :quarter].mean((0, 1)), pixels[:, -quarter:].mean((0, 1))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("HEIC", lambda: saved("HEIF"), marks=needs("pillow_heif")),
        pytest.param(
            "AVIF",
            lambda: saved("AVIF"),
            marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"),
        ),
        pytest.param("JPEG XL", lambda: saved("JXL"), marks=needs("pillow_jxl")),
        pytest.param("RAW", lambda: dng(preview=(640, 480)), marks=needs("rawpy")),
    ],
)
def test_a_photo_is_seen(name: str, make: Callable[[], bytes]) -> None:
    data = make()
    left, right = sides(decode(data))
    np.testing.assert_allclose(left, RED, atol=12)
    np.testing.assert_allclose(right, BLUE, atol=12)
    if name != "RAW":
        assert format_of(data) == name
    with pytest.raises(opening.TooManyPixels, match=r"307200|4096"):
        decode(data, limits=Limits(max_pixels=4000))


@needs("rawpy")
@pytest.mark.parametrize("preview", [None, (160, 120)])
def test_a_raw_with_a_thumbnail_at_most_is_developed_at_half_its_size(preview: tuple[int, int] | None) -> None:
    image = decode(dng(preview=preview))
    assert image.size == (32, 32)
    red, green, blue = np.asarray(image, np.float32).mean((0, 1))
    assert green > 2 * max(red, blue)


@needs("pypdfium2")
def test_of_a_pdf_the_first_page_is_seen() -> None:
    image = decode(pdf([RED, BLUE]))
    assert max(image.size) == 1024
    np.testing.assert_allclose(np.asarray(image).mean((0, 1)), RED, atol=12)
    np.testing.assert_allclose(np.asarray(decode(pdf([RED, BLUE]), frame=Frame(1, 2))).mean((0, 1)), BLUE, atol=12)
    with pytest.raises(NoFrame):
        decode(pdf([RED, BLUE]), frame=Frame(2, 3))


@needs("av")
@pytest.mark.parametrize(
    ("format", "codec"), [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4"), ("mpegts", "mpeg2video")]
)
def test_frames_of_a_video_are_spread_evenly(format: str, codec: str) -> None:
    colours = [(250, 250, 250), RED, BLUE, (20, 200, 20)]
    data = video(colours, format=format, codec=codec)
    assert format_of(data) == "video"
    for n, colour in enumerate(colours):
        np.testing.assert_allclose(np.asarray(decode(data, frame=Frame(n, 4))).mean((0, 1)), colour, atol=14)
    middle = np.asarray(decode(data)).mean((0, 1))
    assert min(np.abs(middle - colour).max() for colour in (RED, BLUE)) < 14
    assert opening.count_frames(data, limits=Limits()) is None


@needs("av")
def test_a_sound_has_no_picture() -> None:
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(track.encode(sound))
        container.mux(track.encode())
    with pytest.raises(NoImage, match="a sound without a picture"):
        decode(stream.getvalue())


@pytest.mark.parametrize(("format", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_frames_of_an_animation_are_spread_evenly(format: str, options: dict) -> None:
    stream = io.BytesIO()
    first, *others = (Image.new("RGB", (8, 8), (grey, grey, grey)) for grey in range(0, 250, 25))
    first.save(stream, format, save_all=True, append_images=others, **options)
    data = stream.getvalue()
    assert opening.count_frames(data, limits=Limits()) == 10
    shown = [int(np.asarray(decode(data, frame=Frame(n, 3))).mean()) for n in range(3)]
    np.testing.assert_allclose(shown, [25, 125, 200], atol=3)
    assert int(np.asarray(decode(data)).mean()) == 0
    with pytest.raises(NoFrame):
        decode(data, frame=Frame(10, 11))


def test_places_of_frames() -> None:
    assert [Frame(n, 4).place(100) for n in range(4)] == [12, 37, 62, 87]
    assert [Frame(n, 4).place(3) for n in range(4)] == [0, 1, 2, None]
    assert WHOLE.place(9) == 0


@pytest.mark.parametrize("name", FORMATS)
def test_without_its_package_a_file_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMATS[name]
    data = (b"\0\0\0\x20ftyp" + form.brands[0] if form.brands else form.begins[0]).ljust(64, b"\0")
    monkeypatch.setattr("clipcli.images.opening.is_installed", lambda _: False)
    monkeypatch.setattr("clipcli.images.decode.is_installed", lambda _: False)
    monkeypatch.setattr(Image, "ID", [one for one in Image.ID if one not in ("JXL", "HEIF", "AVIF")])
    skipped = attempt(ImageItem("x", Reference("bytes", member=data)), decode)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == f"{name} needs a plug-in: pip install {form.package}"


def test_every_package_has_an_extra() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for form in FORMATS.values():
        assert form.package.startswith("'pillow") or f'["{form.package}>=' in text
    assert {name.lower() for name in FORMATS} >= set(ALSO)
    assert {".gif", ".mp4", ".pdf"} <= FRAMES


def swapped() -> bytes:
    """A profile whose red and blue are swapped: it shows whether it was used."""
    red, green, blue, white = SRGB
    return matrix_profile((blue, green, red, white), gamma=2.2)


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_profiles_are_applied(format: str) -> None:
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {format}")
    left, right = sides(decode(saved(format, icc_profile=swapped())))
    assert left[2] > left[0]
    assert right[0] > right[2]


@needs("pillow_jxl")
@pytest.mark.filterwarnings("ignore:Using JPEG reconstruction")
def test_profiles_of_a_jpeg_xl_are_applied(tmp_path: Path) -> None:
    """One that was made of a JPEG without loss, as cjxl does it, keeps the JPEG's profile and its orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", icc_profile=swapped(), exif=exif))
    stream = io.BytesIO()
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(stream, "JXL", lossless_jpeg=True)
    left, right = sides(decode(stream.getvalue()))
    # Turned round, and swapped.
    assert left[0] > left[2]
    assert right[2] > right[0]


@needs("pillow_jxl")
def test_a_jpeg_xl_is_turned_by_its_decoder_alone() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    left, _ = sides(decode(saved("JXL", exif=exif.tobytes())))
    assert left[0] > left[2]


@needs("pillow_jxl")
@pytest.mark.parametrize("size", [(640, 480), (8, 8), (1, 1), (300, 7), (1600, 900), (3000, 2), (70, 9000), (256, 128)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(size: tuple[int, int], container: bool) -> None:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "JXL", effort=1, use_container=container)
    assert jxl_size(stream.getvalue()) == size
    assert jxl_size(stream.getvalue()[:9]) is None or not container
