"""Thumbnails of images for pages: small JPEGs as `data:` URIs, made in threads."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from PIL import Image

from clipcli.backbones.devices import cores
from clipcli.images.decode import DEFAULT_LIMITS, attempt, decoding
from clipcli.images.isolate import Attempt, attempting
from clipcli.images.limits import Limits
from clipcli.records import Content, ImageItem, Skipped

_QUALITY = 75


def thumbnails(items: Sequence[ImageItem], *, side: int, limits: Limits) -> Iterator[str | None]:
    """A thumbnail of each image, its longer side `side` pixels, in order; `None` where an image cannot be read."""
    with ThreadPoolExecutor(cores()) as pool, attempting(limits) as try_:
        yield from pool.map(lambda item: _thumbnail(item, side, limits, try_), items)


def _thumbnail(item: ImageItem, side: int, limits: Limits, try_: Attempt) -> str | None:
    """The image as a `data:` URI; `None` if it cannot be read."""
    small = small_jpeg(item, side=side, limits=limits, try_=try_)
    return None if small is None else f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def small_jpeg(item: ImageItem, *, side: int, limits: Limits = DEFAULT_LIMITS, try_: Attempt = attempt) -> bytes | None:
    """The image as a JPEG, its longer side at most `side` pixels; `None` if it cannot be read.

    A JPEG is decoded at a scale not far above that.
    """

    def shrink(data: Content) -> bytes:
        least = partial(_fitting, side=2 * side)
        with decoding(data, least=least, limits=limits, frame=item.reference.frame) as image:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=_QUALITY)
        return stream.getvalue()

    small = try_(item, shrink)
    return None if isinstance(small, Skipped) else small


def _fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height where the longer is `side`."""
    width, height = size
    return max(1, side * width // max(size)), max(1, side * height // max(size))
