"""Bytes become upright RGB pixels, or a reason; in order, a bounded way ahead, and resized as open_clip does."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from small_data import in_memory

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.data.reference import digest_of
from clipcli.images.batches import batches
from clipcli.images.decode import decode, read_pixels, to_rgb
from clipcli.images.resize import least_pixels, resizer
from clipcli.images.threads import DecodeThreads
from clipcli.records import ImageItem, Reference, Remembered, Skipped

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def _bytes(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _decoded(image: Image.Image, format: str = "PNG", **options: object) -> np.ndarray:
    decoded = decode(_bytes(image, format, **options))
    assert decoded.mode == "RGB"
    return np.array(decoded)


def _as_is(image: Image.Image) -> Image.Image:
    return image


def _read(data: bytes) -> np.ndarray | Skipped:
    return read_pixels(in_memory("x", data), _as_is)


# What must be done to the stored pixels to see the photo upright, by the EXIF standard.
ORIENTATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_photos_are_turned_upright(orientation: int, format: str) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (3, 5, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = _decoded(Image.fromarray(stored), format, exif=exif)
    np.testing.assert_array_equal(upright, ORIENTATIONS[orientation](stored))


def test_a_jpeg_from_a_turned_camera_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sky_and_sand = Image.new("RGB", (40, 20), BLUE)
    sky_and_sand.paste(RED, (20, 0, 40, 20))
    upright = _decoded(sky_and_sand, "JPEG", exif=exif)
    assert upright.shape == (40, 20, 3)
    assert upright[5, 10, 2] > 200
    assert upright[35, 10, 0] > 200


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12", b""])
def test_a_photo_with_broken_exif_is_still_a_photo(exif: bytes) -> None:
    assert _decoded(Image.new("RGB", (8, 6), RED), "JPEG", exif=b"Exif\0\0" + exif).shape == (6, 8, 3)


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
@pytest.mark.parametrize(("cmyk", "rgb"), [((0, 255, 255, 0), RED), ((0, 0, 0, 0), WHITE), ((0, 0, 0, 255), (0, 0, 0))])
def test_cmyk_has_the_right_colours(format: str, cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    pixels = _decoded(Image.new("CMYK", (8, 8), cmyk), format)
    np.testing.assert_allclose(pixels[4, 4], rgb, atol=3)


def _palette() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    return image


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [RED, BLUE]),
        ({"transparency": 0}, [WHITE, BLUE]),
        ({"transparency": bytes([255, 0])}, [RED, WHITE]),
        ({"transparency": bytes([51, 255])}, [(255, 204, 204), BLUE]),
    ],
)
def test_a_palette_becomes_its_colours_over_white(options: dict, expected: list[tuple[int, ...]]) -> None:
    assert _decoded(_palette(), **options)[0].tolist() == [list(colour) for colour in expected]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 255), (0, 0, 0)),
        ("LA", (0, 0), WHITE),
        ("LA", (0, 51), (204, 204, 204)),
    ],
)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_transparency_lies_over_white(mode: str, colour: tuple, expected: tuple, format: str) -> None:
    np.testing.assert_allclose(_decoded(Image.new(mode, (2, 2), colour), format)[0, 0], expected, atol=1)


@pytest.mark.parametrize(("mode", "key"), [("RGB", RED), ("L", 7)])
def test_a_transparent_colour_is_white(mode: str, key: int | tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), 0 if mode == "L" else (0, 0, 0))
    assert _decoded(image, transparency=key)[0].tolist() == [list(WHITE), [0, 0, 0]]


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert _decoded(image)[0].tolist() == [[0, 0, 0], list(WHITE)]


GREYS = np.array([[0, 257, 32768, 65535]])
GREYS_OF_8_BITS = [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("format", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("TIFF", "<i4"), ("TIFF", "<f4")]
)
def test_deep_grey_is_scaled_and_not_clipped(format: str, dtype: str) -> None:
    pixels = _decoded(Image.fromarray(GREYS.astype(dtype)), format)
    assert pixels[0].tolist() == [[grey] * 3 for grey in GREYS_OF_8_BITS]


def test_a_dark_deep_image_stays_dark() -> None:
    assert _decoded(Image.fromarray(np.full((2, 2), 2570, np.uint16)))[0, 0].tolist() == [10, 10, 10]


def test_deep_grey_is_turned_upright_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert _decoded(Image.fromarray(GREYS.astype("<u2")), "TIFF", exif=exif)[:, 0, 0].tolist() == GREYS_OF_8_BITS


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I", [0, 32768, 65535], [0, 128, 255]),
        ("I", [0, 1 << 29, 1 << 30], [0, 128, 255]),
        ("I", [-5, 0, 65535], [0, 0, 255]),
        ("F", [0.0, 0.2, 1.0], [0, 51, 255]),
        ("F", [0.0, 51.0, 255.0], [0, 51, 255]),
        ("F", [-1.0, 0.0, 0.2], [0, 128, 153]),
    ],
)
def test_values_of_32_bits_are_shares_of_white(mode: str, values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.float32 if mode == "F" else np.int32))
    assert image.mode == mode
    assert np.array(to_rgb(image))[0, :, 0].tolist() == expected


def test_floats_that_are_no_numbers_are_black() -> None:
    image = Image.fromarray(np.array([[np.nan, 0.2, 1.0]], np.float32))
    assert np.array(to_rgb(image))[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize("mode", ["L", "YCbCr", "HSV", "RGBX", "RGBa", "PA", "RGB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


@pytest.mark.parametrize(("format", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_of_several_frames_the_first_is_taken(format: str, options: dict) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    pixels = _decoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert pixels[0, 0].tolist() == list(RED)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"Dear diary,\n", "not an image"),
        (b"\xff\xd8\xff", "not an image"),
        (_bytes(NOISE, "JPEG")[:2000], "truncated"),
        (_bytes(NOISE, "PNG")[:2000], "truncated"),
        (_bytes(NOISE, "BMP")[:2000], "truncated"),
    ],
    ids=["empty", "text", "three bytes", "jpeg", "png", "bmp"],
)
def test_bad_bytes_are_skipped_with_a_reason(data: bytes, reason: str) -> None:
    item = in_memory("x", data)
    assert read_pixels(item, _as_is) == Skipped(item, reason)


@pytest.mark.parametrize("format", ["WEBP", "GIF", "TIFF", "JPEG2000"])
def test_any_file_that_is_cut_short_is_skipped_or_shown(format: str) -> None:
    whole = _bytes(NOISE, format)
    for size in (10, 100, len(whole) // 2):
        read = _read(whole[:size])
        assert isinstance(read, np.ndarray) or read.reason


def _raise(error: Exception) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such file"),
        (PermissionError(13, "Permission denied"), "no permission to read it"),
        (IsADirectoryError(21, "Is a directory"), "a folder, not an image"),
        (RuntimeError("File is encrypted,\n password required"), "encrypted, password required"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_cannot_be_read_is_skipped_with_a_reason_of_one_line(
    error: Exception, reason: str, calling: Callable[[Callable[[], bytes]], Reference]
) -> None:
    skipped = read_pixels(ImageItem("x", calling(_raise(error))), _as_is)
    assert isinstance(skipped, Skipped)
    assert reason in skipped.reason
    assert "\n" not in skipped.reason


def test_a_file_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    skipped = read_pixels(ImageItem("x", Reference("file", str(tmp_path / "missing.jpg"))), _as_is)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "no such file"


def test_a_decompression_bomb_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    skipped = _read(_bytes(NOISE))
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "too many pixels: 4,096; --max-pixels allows more"


def _grey_items(greys: list[int | None], pulled: list[int] | None = None) -> Iterator[ImageItem]:
    """Images of one pixel, `None` for one that is bad."""
    for n, grey in enumerate(greys):
        if pulled is not None:
            pulled.append(n)
        data = b"bad" if grey is None else _bytes(Image.new("L", (1, 1), grey))
        yield in_memory(f"{n}", data)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_batches_keep_the_order_with_bad_images_among_them(batch_size: int, workers: int) -> None:
    greys = [0, None, 2, 3, None, None, 6, None]
    read = list(batches(_grey_items(greys), resize=_as_is, batch_size=batch_size, threads=DecodeThreads(workers)))
    entries = [entry for batch in read for entry in batch.entries]
    assert [e.item.id if isinstance(e, Skipped) else e.id for e in entries] == [f"{n}" for n in range(8)]
    assert [isinstance(e, Skipped) for e in entries] == [grey is None for grey in greys]
    assert [int(p[0, 0, 0]) for batch in read for p in batch.pixels] == [0, 2, 3, 6]
    assert [len(batch.entries) for batch in read[:-1]] == [batch_size] * (len(read) - 1)
    for batch in read:
        assert len(batch.pixels) == sum(not isinstance(e, Skipped) for e in batch.entries)


def test_pixels_are_bytes_of_height_width_and_channels() -> None:
    items = [in_memory("a", _bytes(NOISE))] * 2
    (batch,) = batches(items, resize=lambda image: image.resize((8, 4)), batch_size=4, threads=DecodeThreads(1))
    assert batch.pixels.shape == (2, 4, 8, 3)
    assert batch.pixels.dtype == np.uint8


def test_no_images_are_no_batches() -> None:
    assert list(batches([], resize=_as_is, batch_size=4, threads=DecodeThreads(1))) == []


@pytest.mark.parametrize("batch_size", [1, 4])
def test_at_most_two_batches_are_read_ahead(batch_size: int) -> None:
    pulled: list[int] = []
    stream = batches(_grey_items([0] * 50, pulled), resize=_as_is, batch_size=batch_size, threads=DecodeThreads(2))
    for n in range(1, 4):
        next(stream)
        assert n * batch_size < len(pulled) <= (n + 2) * batch_size
    stream.close()
    assert len(pulled) <= 5 * batch_size


def test_a_stream_that_is_closed_reads_no_more(calling: Callable[[Callable[[], bytes]], Reference]) -> None:
    started, gate, read = threading.Event(), threading.Event(), []

    def second_waits(n: int) -> bytes:
        read.append(n)
        if n == 1:
            started.set()
            gate.wait(10)
        return b""

    items = [ImageItem(f"{n}", calling(partial(second_waits, n))) for n in range(20)]
    stream = batches(items, resize=_as_is, batch_size=1, threads=DecodeThreads(1))
    next(stream)
    assert started.wait(10)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    stream.close()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert read == [0, 1]


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize("shape", [(90, 40), (33, 70), (17, 20), (32, 32)])
def test_pixels_become_open_clips_input_to_the_bit(
    resize_mode: str, interpolation: str, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8))
    config = PreprocessCfg(
        size=size, mean=mean, std=std, interpolation=interpolation, resize_mode=resize_mode, fill_color=7
    )
    expected = image_transform_v2(config, is_train=False)(image)

    preprocessing = Preprocessing(
        size=size, resize_mode=resize_mode, interpolation=interpolation, mean=mean, std=std, fill_color=7
    )
    pixels = np.array(resizer(preprocessing)(image))
    assert pixels.dtype == np.uint8
    scaled = torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32).div(255)
    actual = (scaled - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    assert torch.equal(actual, expected)


def _preprocessing(resize_mode: str, size: tuple[int, int]) -> Preprocessing:
    return Preprocessing(
        size=size, resize_mode=resize_mode, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3, fill_color=0
    )


def _smooth(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture without detail, which a lower resolution shows as well."""
    colours = np.random.default_rng(0).integers(60, 200, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def _fast(data: bytes, *, resize_mode: str = "shortest", size: tuple[int, int] = (32, 32)) -> Image.Image:
    return decode(data, least=least_pixels([_preprocessing(resize_mode, size)], decode="fast"))


@pytest.mark.parametrize(
    ("resize_mode", "size", "stored", "decoded"),
    [
        ("shortest", (32, 32), (640, 512), (80, 64)),
        ("shortest", (32, 32), (640, 511), (160, 128)),
        ("shortest", (32, 32), (2000, 127), (2000, 127)),
        ("shortest", (32, 32), (2000, 128), (1000, 64)),
        ("shortest", (24, 40), (640, 384), (80, 48)),
        ("shortest", (24, 40), (384, 640), (96, 160)),
        ("squash", (32, 32), (640, 512), (80, 64)),
        ("squash", (24, 40), (319, 768), (160, 384)),
        ("longest", (32, 32), (512, 40), (64, 5)),
        ("longest", (32, 32), (40, 512), (5, 64)),
        ("longest", (24, 40), (512, 384), (64, 48)),
        ("shortest", (32, 32), (63, 63), (63, 63)),
        ("shortest", (32, 32), (20, 10), (20, 10)),
        ("longest", (32, 32), (20, 1), (20, 1)),
    ],
)
def test_a_large_jpeg_is_decoded_small(
    resize_mode: str, size: tuple[int, int], stored: tuple[int, int], decoded: tuple[int, int]
) -> None:
    data = _bytes(_smooth(*stored), "JPEG")
    assert _fast(data, resize_mode=resize_mode, size=size).size == decoded


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("target", [(32, 32), (24, 40)])
def test_twice_the_size_to_resize_to_is_left(resize_mode: str, target: tuple[int, int]) -> None:
    for width, height in np.random.default_rng(0).integers(1, 900, (60, 2)).tolist():
        made = _fast(_bytes(Image.new("RGB", (width, height)), "JPEG"), resize_mode=resize_mode, size=target)
        if made.size == (width, height):
            continue
        ratios = width / target[1], height / target[0]
        # What the picture measures when it is resized, before it is cropped or padded.
        sides = {
            "shortest": (width / min(ratios), height / min(ratios)),
            "longest": (width / max(ratios), height / max(ratios)),
            "squash": target[::-1],
        }[resize_mode]
        assert made.width >= 2 * sides[0] - 1e-6
        assert made.height >= 2 * sides[1] - 1e-6


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("size", [(32, 32), (16, 64)])
def test_a_turned_jpeg_decoded_small_is_the_same_picture(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _bytes(_smooth(640, 300), "JPEG", exif=exif, quality=95)
    resize = resizer(_preprocessing("squash", size))
    small, whole = _fast(data, resize_mode="squash", size=size), decode(data)
    assert small.width < whole.width
    assert (small.width < small.height) == (whole.width < whole.height)
    assert np.abs(np.array(resize(small), int) - np.array(resize(whole), int)).max() <= 4
    height, width = size
    assert small.width >= 2 * width
    assert small.height >= 2 * height


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_other_colours_are_decoded_small(mode: str, progressive: bool) -> None:
    data = _bytes(_smooth(600, 520, mode), "JPEG", quality=95, progressive=progressive)
    small, whole = _fast(data), decode(data)
    assert (small.mode, small.size) == ("RGB", (75, 65))
    resize = resizer(_preprocessing("shortest", (32, 32)))
    assert np.abs(np.array(resize(small), int) - np.array(resize(whole), int)).max() <= 4


def test_a_jpeg_of_several_pictures_is_decoded_small() -> None:
    data = _bytes(_smooth(600, 520), "MPO", save_all=True, append_images=[_smooth(600, 520)])
    assert _fast(data).size == (75, 65)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_are_decoded_whole(format: str) -> None:
    data = _bytes(_smooth(600, 520), format)
    np.testing.assert_array_equal(np.array(_fast(data)), np.array(decode(data)))


def test_a_truncated_jpeg_stays_truncated() -> None:
    data = _bytes(_smooth(600, 520), "JPEG")
    skipped = read_pixels(in_memory("x", data[: len(data) // 2]), _as_is)
    (batch,) = batches(
        [in_memory("x", data[: len(data) // 2])],
        resize=_as_is,
        batch_size=1,
        threads=DecodeThreads(1),
        least=lambda _: (64, 64),
    )
    assert batch.entries[0].reason == skipped.reason == "truncated"


def test_exact_decodes_whole() -> None:
    assert least_pixels([_preprocessing("shortest", (32, 32))], decode="exact") is None


def test_for_several_models_the_largest_is_left() -> None:
    ways = [_preprocessing("shortest", (32, 64)), _preprocessing("longest", (100, 16))]
    assert least_pixels(ways, decode="fast")((2000, 1000)) == (128, 64)  # type: ignore[misc]
    assert least_pixels(ways, decode="fast")((16, 1000)) == (128, 200)  # type: ignore[misc]


@pytest.mark.parametrize("digests", [True, False])
def test_images_are_hashed_where_that_is_asked_for(digests: bool) -> None:
    data = [_bytes(NOISE), b"bad", _bytes(Image.new("L", (1, 1), 3))]
    items = [in_memory(f"{n}", one) for n, one in enumerate(data)]
    known = Remembered(in_memory("known"), (np.zeros(4, np.float32),))
    half = Remembered(in_memory("half", data[0]), (None, np.zeros(4, np.float32)))
    stream = batches(
        [*items, known, half], resize=_as_is_small, batch_size=8, threads=DecodeThreads(2), digests=digests
    )
    (first, bad, last, remembered, encoded) = next(stream).entries
    assert [first, last] == [items[0], items[2]]
    expected = [digest_of(data[0]), digest_of(data[2]), digest_of(data[0])] if digests else [None] * 3
    assert [first.digest, last.digest, encoded.item.digest] == expected
    assert isinstance(bad, Skipped)
    assert remembered is known


def _as_is_small(image: Image.Image) -> Image.Image:
    return image.resize((2, 2))
