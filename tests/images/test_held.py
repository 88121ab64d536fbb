"""A PIL image is seen as its file is: its rotation, its colours, its transparency and its greys."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from clipcli.data.held import read_inputs
from clipcli.images.batches import batches
from clipcli.images.decode import attempt, decode
from clipcli.images.icc import ADOBE_GAMMA, ADOBE_RGB, matrix_profile
from clipcli.images.threads import DecodeThreads
from clipcli.notices import Notices
from clipcli.records import ImageItem, Skipped

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
DEEP = np.random.default_rng(1).integers(0, 60_000, (40, 60), dtype=np.uint16)
ADOBE = matrix_profile(ADOBE_RGB, gamma=ADOBE_GAMMA)


def exif(tag: int, value: Any, *, ifd: int | None = None) -> Image.Exif:
    """EXIF with one tag."""
    made = Image.Exif()
    (made if ifd is None else made.get_ifd(ifd))[tag] = value
    return made


def of_png(**chunks: bytes) -> PngInfo:
    """Chunks of a PNG."""
    info = PngInfo()
    for name, content in chunks.items():
        info.add(name.encode(), content)
    return info


def translucent() -> Image.Image:
    """The picture, fading to the right."""
    image = PICTURE.convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 60, dtype=np.uint8), (40, 1))))
    return image


KINDS: dict[str, Callable[[io.BytesIO], None]] = {
    "JPEG": lambda f: PICTURE.save(f, "JPEG"),
    "turned": lambda f: PICTURE.save(f, "JPEG", exif=exif(ExifTags.Base.Orientation, 6)),
    "turned PNG": lambda f: PICTURE.save(f, "PNG", exif=exif(ExifTags.Base.Orientation, 8)),
    "CMYK": lambda f: PICTURE.convert("CMYK").save(f, "JPEG"),
    "transparent": lambda f: translucent().save(f, "PNG"),
    "palette": lambda f: PICTURE.quantize(16).save(f, "PNG", transparency=3),
    "grey and alpha": lambda f: translucent().convert("LA").save(f, "PNG"),
    "16 bits": lambda f: Image.fromarray(DEEP).save(f, "PNG"),
    "white is 0": lambda f: Image.fromarray(DEEP).save(f, "TIFF", tiffinfo={262: 0}),
    "floats": lambda f: Image.fromarray((DEEP / 60_000).astype(np.float32)).save(f, "TIFF"),
    "profile": lambda f: PICTURE.save(f, "PNG", icc_profile=ADOBE),
    "profile and turned": lambda f: PICTURE.save(f, "JPEG", icc_profile=ADOBE, exif=exif(ExifTags.Base.Orientation, 3)),
    "gamma": lambda f: PICTURE.save(f, "PNG", pnginfo=of_png(gAMA=(100_000).to_bytes(4))),
    "EXIF says Adobe RGB": lambda f: PICTURE.save(f, "JPEG", exif=exif(0xA001, 2, ifd=ExifTags.IFD.Exif)),
}


def seen(content: Any, **options: Any) -> np.ndarray:
    """The pixels of what was decoded."""
    image = decode(content, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def member(image: Any) -> Any:
    """What is decoded of an image that is given."""
    [item] = read_inputs(image)
    assert isinstance(item, ImageItem)
    return item.reference.member


@pytest.mark.parametrize("color", ["managed", "raw"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_opened_image_is_seen_as_its_file_is(kind: str, color: str) -> None:
    stream = io.BytesIO()
    KINDS[kind](stream)
    expected = seen(stream.getvalue(), color=color)
    opened, loaded = Image.open(stream), Image.open(io.BytesIO(stream.getvalue()))
    loaded.load()
    before = (loaded.mode, loaded.size, loaded.tobytes(), dict(loaded.info))
    np.testing.assert_array_equal(seen(member(opened), color=color), expected)
    np.testing.assert_array_equal(seen(member(loaded), color=color), expected)
    [copied] = read_inputs(iter([Image.open(io.BytesIO(stream.getvalue()))]))
    assert isinstance(copied, ImageItem)
    np.testing.assert_array_equal(seen(copied.reference.member, color=color), expected)
    assert (loaded.mode, loaded.size, loaded.tobytes(), dict(loaded.info)) == before


@pytest.mark.parametrize("kind", ["turned", "profile", "gamma", "white is 0", "EXIF says Adobe RGB"])
def test_these_kinds_are_not_what_their_numbers_say(kind: str) -> None:
    """Or the comparison with files would show nothing."""
    stream = io.BytesIO()
    KINDS[kind](stream)
    plain = Image.open(stream)
    numbers = np.asarray(plain.convert("RGB")) if plain.mode != "I;16" else None
    assert not np.array_equal(numbers, seen(stream.getvalue()))


def test_arrays_are_rgb_rgba_over_white_or_grey() -> None:
    colour = np.full((2, 2, 3), (10, 20, 30), np.uint8)
    assert seen(member(colour))[0, 0].tolist() == [10, 20, 30]
    assert seen(member(colour[..., ::-1]))[0, 0].tolist() == [30, 20, 10]
    assert seen(member(np.full((2, 2), 77, np.uint8)))[0, 0].tolist() == [77, 77, 77]
    half = np.full((2, 2, 4), (0, 0, 0, 51), np.uint8)
    assert seen(member(half))[0, 0].tolist() == [204, 204, 204]


def test_the_frame_that_an_image_is_at_counts() -> None:
    stream = io.BytesIO()
    first, second = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    first.save(stream, "GIF", save_all=True, append_images=[second])
    image = Image.open(stream)
    image.seek(1)
    assert seen(member(image))[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    "image",
    [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 0), np.uint8), Image.new("RGB", (0, 5))],
    ids=["no rows", "no columns", "PIL"],
)
def test_an_image_of_no_pixels_is_skipped(image: Any) -> None:
    [item] = read_inputs(image)
    assert isinstance(item, ImageItem)
    assert attempt(item, decode) == Skipped(item, "an image of no pixels")
    [copied] = read_inputs(iter([image]))
    assert isinstance(copied, ImageItem)
    assert attempt(copied, decode) == Skipped(copied, "an image of no pixels")


def test_a_cut_file_is_skipped_with_the_reason_of_a_file(tmp_path: Any) -> None:
    PICTURE.save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
    for given in (lambda image: image, lambda image: iter([image])):
        with Image.open(tmp_path / "cut.png") as image:
            [item] = read_inputs(given(image))
            assert isinstance(item, ImageItem)
            assert attempt(item, decode) == Skipped(item, "truncated")


def test_several_threads_may_read_one_opened_image() -> None:
    stream = io.BytesIO()
    PICTURE.resize((600, 400)).save(stream, "PNG")
    expected = seen(stream.getvalue())
    items = read_inputs([Image.open(stream)] * 16)
    found = batches(items, resize=lambda image: image, batch_size=16, threads=DecodeThreads(8), notices=Notices())
    [batch] = found
    assert batch.pixels.shape == (16, 400, 600, 3)
    assert (batch.pixels == expected).all()
