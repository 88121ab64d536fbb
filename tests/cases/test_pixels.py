"""Images whose values, shape or file are unusual: what is seen of them, and what is said."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcli
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.events import Warned
from clipcli.images.decode import decode
from clipcli.images.resize import resizer
from clipcli.notices import Notices

BLACK_TO_WHITE = [0, 64, 128, 191, 255]


def shown(data: bytes) -> tuple[np.ndarray, list[str]]:
    """The pixels of an image, and what is said of it."""
    notices = Notices()
    pixels = np.asarray(decode(data, note=notices.about("a.tif")))
    return pixels, [event.message for event in notices.events()]


def saved(values: Any, format: str = "TIFF", **tags: Any) -> bytes:
    """A file of grey values."""
    stream = io.BytesIO()
    options = {"tiffinfo": {int(tag[1:]): value for tag, value in tags.items()}} if tags else {}
    Image.fromarray(np.asarray(values)).save(stream, format, **options)
    return stream.getvalue()


def steps(white: float, dtype: str) -> np.ndarray:
    """A row of five greys from 0 to `white`."""
    return np.linspace(0, white, 5)[None].astype(dtype)


@pytest.mark.parametrize(
    ("format", "white", "dtype"),
    [
        *(("PNG", white, "<u2") for white in (255, 1023, 4095)),
        *(("TIFF", white, "<u2") for white in (255, 1023, 4095)),
        ("TIFF", 4095, ">u2"),
    ],
)
def test_deep_grey_of_fewer_bits_is_seen(format: str, white: int, dtype: str) -> None:
    """Pillow#274: 12 bits in a TIFF of 16 come out black."""
    pixels, said = shown(saved(steps(white, dtype), format))
    np.testing.assert_allclose(pixels[0, :, 0], BLACK_TO_WHITE, atol=1)
    assert said == [
        "1 image of more than 8 bits uses a small part of its range, a.tif: values were stretched to be seen; "
        "export with 8 bits what should stay dark"
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 2040, 4080]], "<u2"), [0, 127, 254]),
        (steps(255, "<i4"), [0, 63, 127, 191, 255]),
        (steps(0.001, "<f4"), BLACK_TO_WHITE),
        (np.array([[0.0, np.nan, 0.001]], "<f4"), [0, 0, 255]),
    ],
)
def test_what_uses_a_small_part_of_its_range_is_stretched(values: np.ndarray, expected: list[int]) -> None:
    """Pillow#274, and its relatives in 32 bits."""
    pixels, said = shown(saved(values))
    assert pixels[0, :, 0].tolist() == expected
    assert len(said) == 1


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        (steps(4095, "<u2"), {"_281": 4095}),
        (steps(16383, "<u2"), {"_281": 16383}),
        (steps(0.001, "<f4"), {"_341": 0.001}),
    ],
)
def test_a_white_that_the_file_states_is_taken(values: np.ndarray, tags: dict[str, Any]) -> None:
    """Pillow#274: MaxSampleValue of a TIFF, as TIFF 6.0 has it."""
    pixels, said = shown(saved(values, **tags))
    np.testing.assert_allclose(pixels[0, :, 0], BLACK_TO_WHITE, atol=1)
    assert said == []


def test_a_stated_white_leaves_a_dark_image_dark() -> None:
    pixels, said = shown(saved(np.array([[0, 400]], "<u2"), _281=4000))
    assert pixels[0, :, 0].tolist() == [0, 26]
    assert said == []


def test_a_white_below_the_values_is_not_believed() -> None:
    assert shown(saved(steps(65535, "<u2"), _281=255))[0][0, :, 0].tolist() == [0, 64, 127, 191, 255]


@pytest.mark.parametrize("value", [0, 7, 2570])
def test_an_image_of_one_grey_has_nothing_to_stretch(value: int) -> None:
    pixels, said = shown(saved(np.full((2, 2), value, "<u2")))
    assert (pixels == round(value / 257)).all()
    assert said == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[-1024, 1024, 3071]], "<i4"), [0, 102, 204]),
        (np.array([[-500, -300, -100]], "<i4"), [0, 68, 135]),
        (np.array([[-1.0, 0.0, 1.0]], "<f4"), [0, 128, 255]),
        (np.array([[-3.0, -2.0, -1.0]], "<f4"), [0, 85, 170]),
        (np.array([[0, 1 << 29, 1 << 30]], "<i4"), [0, 128, 255]),
    ],
)
def test_values_without_a_range_are_stretched_from_the_least(values: np.ndarray, expected: list[int]) -> None:
    """Pillow#274: what is below zero was black as well."""
    pixels, said = shown(saved(values))
    np.testing.assert_allclose(pixels[0, :, 0], expected, atol=1)
    assert said == [
        "1 image does not say which of its values are black and white, a.tif: the least and the largest were taken, "
        "or 0 where none is less; export with 8 bits what looks wrong"
    ]


def test_pixels_without_data_do_not_count() -> None:
    """rasterio and GDAL write which value they have."""
    pixels, said = shown(saved(np.array([[-9999.0, 0.0, 0.5, 1.0]], "<f4"), _42113="-9999"))
    assert pixels[0, :, 0].tolist() == [0, 0, 128, 255]
    assert said == []


def test_where_white_is_zero_deep_grey_is_inverted_too() -> None:
    """Pillow inverts 8 bits and not 16."""
    pixels, _ = shown(saved(np.array([[0, 65535]], "<u2"), _262=0))
    assert pixels[0, :, 0].tolist() == [255, 0]


def deep_rgb_png(values: np.ndarray, *, alpha: int | None = None) -> bytes:
    """A PNG of 16 bits in colour, which Pillow does not write. `values` are `[H, W, 3]`."""
    if alpha is not None:
        values = np.concatenate([values, np.full((*values.shape[:2], 1), alpha)], axis=2)
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2 if alpha is None else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_rgb_tiff(values: np.ndarray, order: str) -> bytes:
    """A TIFF of 16 bits in colour in this order of bytes, which Pillow does not write."""
    height, width, _ = values.shape
    data = values.astype(f"{order}u2").tobytes()
    bits = 8 + 2 + 12 * 9 + 4
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, bits + 6), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data))]
    # A number of 16 bits stands in the first half of its field of 32.
    fields = [value << 16 if order == ">" and kind == 3 and count == 1 else value for _, kind, count, value in tags]
    table = b"".join(struct.pack(f"{order}HHII", *tag[:3], field) for tag, field in zip(tags, fields, strict=True))
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return start + table + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + data


COLOURS = np.stack([steps(4095, "i4"), steps(2047, "i4"), steps(0, "i4")], axis=-1)


@pytest.mark.parametrize(
    "data",
    [
        deep_rgb_png(COLOURS),
        deep_rgb_png(COLOURS, alpha=65535),
        deep_rgb_tiff(COLOURS, "<"),
        deep_rgb_tiff(COLOURS, ">"),
    ],
    ids=["png", "png with alpha", "tiff", "big-endian tiff"],
)
def test_deep_colours_of_fewer_bits_are_seen(data: bytes) -> None:
    """Pillow#274: 12 bits of colour in files of 16. Pillow keeps their high bytes alone."""
    pixels, said = shown(data)
    np.testing.assert_allclose(pixels[0, :, 0], BLACK_TO_WHITE, atol=1)
    np.testing.assert_allclose(pixels[0, :, 1], [0, 32, 64, 96, 127], atol=1)
    assert pixels[0, :, 2].tolist() == [0] * 5
    assert len(said) == 1


@pytest.mark.parametrize("data", [deep_rgb_png(COLOURS * 16), deep_rgb_tiff(COLOURS * 16, "<")])
def test_deep_colours_of_all_bits_stay_as_they_are(data: bytes) -> None:
    pixels, said = shown(data)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert said == []


def test_a_line_of_one_pixel_takes_no_memory() -> None:
    """Depth-Anything-V2#256: a PNG of 1 × 65,000 is resized to three billion pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (1, 65_000), (10, 20, 30)).save(stream, "PNG")
    way = Preprocessing((224, 224), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3, 0)
    pixels = np.asarray(resizer(way)(decode(stream.getvalue())))
    assert pixels.shape == (224, 224, 3)
    assert (pixels == (10, 20, 30)).all()


def tiff(width: int, height: int, **tags: Any) -> bytes:
    """A TIFF with these tags."""
    return saved(np.full((height, width, 3), 100, np.uint8), **tags)


THUMBNAIL = (
    "1 image is only the thumbnail in its file, a.tif (160 × 120): of a camera's RAW no more can be read without "
    "rawpy; pip install rawpy, or export JPEGs and give those"
)


@pytest.mark.parametrize(
    "tags",
    [
        {"_254": 1},
        {"_254": 1, "_271": "NIKON", "_330": 8},
        {"_271": "SONY", "_330": 8},
        {"_50706": b"\1\4\0\0"},
        {"_255": 2},
    ],
)
def test_a_raw_says_that_only_its_thumbnail_is_seen(tags: dict[str, Any]) -> None:
    """photoprism#3705: Pillow opens .nef, .arw and .dng as TIFFs whose first frame is a thumbnail."""
    pixels, said = shown(tiff(160, 120, **tags))
    assert pixels.shape == (120, 160, 3)
    assert said == [THUMBNAIL]


@pytest.mark.parametrize(
    ("size", "tags"),
    [((160, 120), {}), ((160, 120), {"_271": "Epson"}), ((160, 120), {"_254": 0}), ((600, 400), {"_254": 1})],
)
def test_other_tiffs_say_nothing(size: tuple[int, int], tags: dict[str, Any]) -> None:
    assert shown(tiff(*size, **tags))[1] == []


def test_each_kind_is_said_once_in_a_run(tmp_path: Path, model: str) -> None:
    for n in range(3):
        (tmp_path / f"{n}.tif").write_bytes(tiff(160, 120, _254=1))
    (tmp_path / "dark.png").write_bytes(saved(steps(255, "<u2"), "PNG"))
    options = ClassifySettings(inputs=(str(tmp_path),), labels=("a", "b"), model=model, cache=False, workers=1)
    said = [event.message for event in run(options) if isinstance(event, Warned)]
    assert [message.split(":")[0] for message in said] == [
        f"3 images are only the thumbnails in their files, such as {tmp_path}/0.tif (160 × 120)",
        f"1 image of more than 8 bits uses a small part of its range, {tmp_path}/dark.png",
    ]


def test_the_python_api_warns(tmp_path: Path, model: str) -> None:
    (tmp_path / "0.tif").write_bytes(tiff(160, 120, _254=1))
    with pytest.warns(UserWarning, match="only the thumbnail"):
        list(clipcli.classify(tmp_path, labels=["a", "b"], model=model, cache=False))


def test_training_says_it_too(tmp_path: Path, model: str) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for n in range(2):
            (tmp_path / "data" / name / f"{n}.tif").write_bytes(tiff(160, 120, _254=1))
    with pytest.warns(UserWarning, match="4 images are only the thumbnails in their files"):
        clipcli.train(tmp_path / "data", model=model, output=tmp_path / "run", steps=3, batch_size=4)
