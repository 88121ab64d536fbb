"""Lines of pixels: the part that is left by the crop has the pixels that open_clip's steps give."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.images.lines import is_line, middle_of_line
from clipcli.images.resize import resize_steps, resizer


def preprocessing(mode: str = "shortest", size: tuple[int, int] = (32, 32), filter_: str = "bicubic") -> Preprocessing:
    """A checkpoint's."""
    return Preprocessing(size, mode, filter_, (0.5,) * 3, (0.5,) * 3, fill_color=9)


def noise(width: int, height: int) -> Image.Image:
    """The picture in which every error of a resize is seen."""
    rng = np.random.default_rng(width * 10_000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def in_steps(image: Image.Image, way: Preprocessing) -> np.ndarray:
    """open_clip's own pixels."""
    stepped: Any = image
    for step in resize_steps(way):
        stepped = step(stepped)
    return np.asarray(stepped)


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow resizes in another order of passes")
@pytest.mark.parametrize("way", [preprocessing(), preprocessing(filter_="bilinear"), preprocessing(size=(24, 40))])
@pytest.mark.parametrize(
    "size",
    [
        *((1, 50), (50, 1), (3, 500), (500, 3), (1, 3000), (3000, 1), (40, 1600), (1600, 40), (33, 2000), (2000, 33)),
        *((64, 48), (48, 64), (300, 200), (200, 300), (90, 30), (30, 90), (31, 33), (33, 31), (500, 400), (32, 32)),
    ],
)
def test_the_middle_of_an_image_has_open_clips_pixels(size: tuple[int, int], way: Preprocessing) -> None:
    image = noise(*size)
    found, expected = np.asarray(middle_of_line(image, way)), in_steps(image, way)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
    # Pillow keeps positions as floats of 32 bits, and few values are so near to a half.
    assert (found != expected).mean() < (0.02 if way.interpolation == "bilinear" else 0.005)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("filter_", ["bicubic", "bilinear", "random"])
@pytest.mark.parametrize("size", [(19, 1), (1, 19), (64, 48), (630, 33), (33, 630), (32, 32), (33, 35), (7, 5)])
def test_other_images_get_open_clips_own_pixels(size: tuple[int, int], mode: str, filter_: str) -> None:
    assert not is_line(size)
    for input_size in ((32, 32), (24, 40), (41, 27)):
        way = preprocessing(mode, filter_=filter_, size=input_size)
        np.testing.assert_array_equal(np.asarray(resizer(way)(noise(*size))), in_steps(noise(*size), way))


@pytest.mark.parametrize("size", [(1, 20), (20, 1), (1, 65_000), (65_000, 1), (70_000, 3000)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_lines_get_the_models_size(size: tuple[int, int], mode: str) -> None:
    way = preprocessing(mode, size=(24, 40))
    made = resizer(way)(Image.new("RGB", size, (10, 20, 30)))
    assert made.size == (40, 24)
    assert (10, 20, 30) in [made.getpixel((x, y)) for x, y in ((19, 11), (20, 12))]


def test_a_line_that_fits_into_the_input_is_one_pixel_wide() -> None:
    made = np.asarray(resizer(preprocessing("longest"))(Image.new("RGB", (1, 65_000), (10, 20, 30))))
    assert (made == (10, 20, 30)).all(axis=2).sum(axis=1).tolist() == [1] * 32
    assert (made == 9).all(axis=2).sum() == 31 * 32
