"""Random views of an image: of the right size, inside it, large enough, and as upright as the image itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.commands.train.augment import _box, random_view

Box = tuple[float, float, float, float]
SIZE = 32


def preprocessing(*, size: tuple[int, int] = (SIZE, SIZE), interpolation: str = "bicubic") -> Preprocessing:
    """A model's input of this (height, width)."""
    return Preprocessing(size, "shortest", interpolation, (0.5,) * 3, (0.5,) * 3, 0)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def view(
    data: bytes, *, seed: int = 0, crop: float = 0.5, flip: bool = False, into: Preprocessing | None = None
) -> np.ndarray:
    """Pixels of a random view."""
    rng = np.random.default_rng(seed)
    made = random_view(data, preprocessing=into or preprocessing(), crop=crop, flip=flip, rng=rng)
    return np.asarray(made)


def ramp(width: int, height: int) -> Image.Image:
    """An image that grows redder to the right and greener to the bottom."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, np.zeros_like(red)], axis=-1).round().astype(np.uint8))


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[tuple[int, int], Box]]]:
    """The size of every image that is resized, and the box of it that is taken."""
    seen: list[tuple[tuple[int, int], Box]] = []
    resize = Image.Image.resize

    def spy(self: Image.Image, size: Any, resample: Any = None, box: Any = None, **options: Any) -> Image.Image:
        seen.append((self.size, box))
        return resize(self, size, resample, box, **options)

    monkeypatch.setattr(Image.Image, "resize", spy)
    return seen


@pytest.mark.parametrize("size", [(32, 32), (24, 48), (7, 3)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "I;16", "1"])
def test_a_view_is_rgb_and_of_the_models_size(mode: str, size: tuple[int, int]) -> None:
    image = Image.new("I;16", (50, 40), 999) if mode == "I;16" else ramp(50, 40).convert(mode)
    data = encoded(image, "TIFF")
    made = random_view(data, preprocessing=preprocessing(size=size), crop=0.5, flip=True, rng=np.random.default_rng(0))
    assert (made.mode, made.size) == ("RGB", size[::-1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2), (2000, 30)])
@pytest.mark.parametrize("crop", [0.01, 0.5, 0.99])
def test_images_of_any_shape_have_views(shape: tuple[int, int], crop: float) -> None:
    data = encoded(Image.new("RGB", shape, (10, 20, 30)))
    for seed in range(5):
        assert np.array_equal(view(data, seed=seed, crop=crop), np.full((SIZE, SIZE, 3), (10, 20, 30)))


@settings(max_examples=300, deadline=None)
@given(width=st.integers(1, 9000), height=st.integers(1, 9000), crop=st.floats(0.01, 1), seed=st.integers(0, 10**6))
@example(width=9000, height=1, crop=0.5, seed=0)
@example(width=1, height=9000, crop=0.5, seed=0)
@example(width=400, height=300, crop=1.0, seed=0)
def test_a_crop_lies_inside_the_image_and_is_large_enough(width: int, height: int, crop: float, seed: int) -> None:
    left, top, right, bottom = _box((width, height), crop=crop, rng=np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    ratio = (right - left) / (bottom - top)
    assert 0.75 * (1 - 1e-9) <= ratio <= 4 / 3 * (1 + 1e-9) or (right - left, bottom - top) == (width, height)
    share = (right - left) * (bottom - top) / (width * height)
    if share < crop * (1 - 1e-9):
        # Nothing that large has such a shape: the middle, as high or as wide as the image.
        assert not 0.75 <= width / height <= 4 / 3
        assert (left + right, top + bottom) == pytest.approx((width, height))
        assert (left, right) == (0, width) or (top, bottom) == (0, height)


def test_crops_are_of_many_places_sizes_and_shapes() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([_box((300, 300), crop=0.2, rng=rng) for _ in range(1000)])
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    areas = widths * heights / 90_000
    assert areas.min() < 0.22
    # A large crop fits in fewer shapes, and so is drawn less often.
    assert 0.45 < areas.mean() < 0.6
    assert np.median(np.log(widths / heights)) == pytest.approx(0, abs=0.03)
    assert np.log(widths / heights).std() > 0.1
    # The place is drawn evenly from where there is room.
    room = 300 - widths > 30
    assert (boxes[room, 0] / (300 - widths[room])).mean() == pytest.approx(0.5, abs=0.03)
    assert (boxes[room, 1] / (300 - heights[room]).clip(1)).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_a_view_shows_what_is_in_its_box(seed: int, boxes: list[tuple[tuple[int, int], Box]]) -> None:
    made = view(encoded(ramp(256, 256)), seed=seed, crop=0.2)
    [(size, (left, top, right, bottom))] = boxes
    assert size == (256, 256)
    centres = (np.arange(SIZE) + 0.5) / SIZE
    inside = slice(3, -3)
    np.testing.assert_allclose(made[5, inside, 0], (left + centres * (right - left) - 0.5)[inside], atol=1.5)
    np.testing.assert_allclose(made[inside, 5, 1], (top + centres * (bottom - top) - 0.5)[inside], atol=1.5)


def test_views_are_reproducible_and_differ() -> None:
    data = encoded(ramp(90, 60))
    views = [view(data, seed=seed, flip=True) for seed in range(20)]
    assert all(np.array_equal(view(data, seed=seed, flip=True), views[seed]) for seed in range(20))
    assert len({made.tobytes() for made in views}) == 20


def test_about_half_of_the_views_are_mirrored() -> None:
    data = encoded(ramp(40, 40))
    mirrored = []
    for seed in range(400):
        plain, maybe = view(data, seed=seed), view(data, seed=seed, flip=True)
        assert plain[5, 0, 0] < plain[5, -1, 0]
        mirrored.append(np.array_equal(maybe, plain[:, ::-1]))
        assert mirrored[-1] or np.array_equal(maybe, plain)
    assert 0.43 < np.mean(mirrored) < 0.57


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_are_resized_as_the_checkpoint_says(interpolation: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    # Of a square image, a crop of nearly all is all of it in every shape but its own.
    made = view(encoded(noise), crop=0.9999, into=preprocessing(interpolation=interpolation))
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    np.testing.assert_array_equal(made, np.asarray(noise.resize((SIZE, SIZE), filters[interpolation])))


@pytest.mark.parametrize(
    ("size", "crop", "decoded"),
    [
        ((1600, 1200), 0.9, (200, 150)),
        ((1600, 1200), 0.25, (200, 150)),
        ((1600, 1200), 0.05, (400, 300)),
        ((1600, 1200), 0.02, (800, 600)),
        ((1600, 1200), 0.01, (1600, 1200)),
        ((272, 272), 0.9, (68, 68)),
        ((270, 270), 0.9, (135, 135)),
        ((130, 130), 0.9, (130, 130)),
        ((2000, 100), 0.9, (2000, 100)),
    ],
)
def test_a_large_jpeg_is_decoded_no_larger_than_a_sharp_crop_needs(
    size: tuple[int, int], crop: float, decoded: tuple[int, int], boxes: list[tuple[tuple[int, int], Box]]
) -> None:
    view(encoded(ramp(*size), "JPEG"), crop=crop)
    [(seen, _)] = boxes
    assert seen == decoded
    # The smallest crop has still twice the pixels of the model's input on a side, if the image has them.
    assert min(decoded) * crop**0.5 >= 2 * SIZE or decoded == size


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_decoded_small_looks_the_same(seed: int, orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(blobs.resize((1600, 1200), Image.Resampling.BICUBIC), "JPEG", quality=95, exif=exif)
    small = view(data, seed=seed, crop=0.4).astype(float)
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", lambda *_: None)
    whole = view(data, seed=seed, crop=0.4).astype(float)
    assert 0 < np.abs(small - whole).mean() < 0.5
    # A view that was off by a tenth of a pixel would differ more.
    assert np.abs(whole[1:] - whole[:-1]).mean() / 10 > 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_view_is_of_the_image_as_its_exif_turns_it(orientation: int) -> None:
    turns = Image.Transpose
    # What was done to the upright image to store it.
    stored = {1: None, 2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE}
    stored |= {6: turns.ROTATE_90, 7: turns.TRANSVERSE, 8: turns.ROTATE_270}
    upright, exif = ramp(60, 40), Image.Exif()
    exif[0x0112] = orientation
    turn = stored[orientation]
    data = encoded(upright if turn is None else upright.transpose(turn), exif=exif)
    np.testing.assert_array_equal(view(data, seed=3), view(encoded(upright), seed=3))


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((200, 100, 50, 255), (0, 0, 40, 20))
    made = view(encoded(image), crop=0.9999)
    assert (made[:12] == (200, 100, 50)).all()
    assert (made[-12:] == 255).all()


def test_a_palette_with_a_transparent_colour_is_white_there() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert (view(encoded(image)) == (200, 100, 50)).all()
    assert (view(encoded(image, transparency=1)) == 255).all()


def test_a_cut_file_raises() -> None:
    data = encoded(ramp(300, 300), "JPEG")
    with pytest.raises(OSError, match="truncated"):
        view(data[: len(data) // 2])
