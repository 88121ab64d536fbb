"""Thumbnails of images for pages: small JPEGs as `data:` URIs, made in threads."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from clipcli.backbones.devices import cores
from clipcli.images.decode import attempt, decoding
from clipcli.records import Content, ImageItem, Skipped

_QUALITY = 75


def thumbnails(items: Sequence[ImageItem], *, side: int) -> Iterator[str | None]:
    """A thumbnail of each image, its longer side `side` pixels, in order; `None` where an image cannot be read."""
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(lambda item: thumbnail(item, side=side), items)


def thumbnail(item: ImageItem, *, side: int) -> str | None:
    """The image as a `data:` URI; `None` if it cannot be read."""
    small = small_jpeg(item, side=side)
    return None if small is None else f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def small_jpeg(item: ImageItem, *, side: int) -> bytes | None:
    """The image as a JPEG, its longer side at most `side` pixels; `None` if it cannot be read.

    A JPEG is decoded at a scale not far above that.
    """

    def shrink(data: Content) -> bytes:
        with decoding(data, least=lambda size: _fitting(size, 2 * side)) as image:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=_QUALITY)
        return stream.getvalue()

    small = attempt(item, shrink)
    return None if isinstance(small, Skipped) else small


def _fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height where the longer is `side`."""
    width, height = size
    return max(1, side * width // max(size)), max(1, side * height // max(size))
