"""Opens the bytes of an image, of whatever kind, at the wanted frame and within the limit on its pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from importlib.util import find_spec
from threading import Lock, local
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

from clipcli.data.formats import FORMATS, format_of
from clipcli.data.reference import NoFrame, NoImage
from clipcli.images.camera_raw import is_thumbnail_of_raw, is_tiff_of_raw, note_thumbnail
from clipcli.images.jxl import jxl_size
from clipcli.images.large_metadata import without_large_metadata
from clipcli.images.limits import Limits
from clipcli.images.openers import OPENERS, Check, count_pages
from clipcli.notices import Note
from clipcli.records import WHOLE, Frame

# How the formats begin that Pillow opens by itself, and that make up nearly all photos.
_USUAL = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")


class NeedsPackage(Exception):
    """A file of a format that a package reads which is not installed. The argument is the name of the format."""


class TooManyPixels(Exception):
    """An image of more pixels than are allowed. The argument is their number."""


def open_image(data: bytes, *, limits: Limits, frame: Frame, note: Note) -> Image.Image:
    """The image in these bytes, opened and not yet decoded, at a frame.

    Raises what Pillow raises, `NeedsPackage`, `TooManyPixels`, and `NoImage` for a frame that is not there.
    """
    check = partial(check_size, most=limits.max_pixels)
    name = None if data.startswith(_USUAL) else format_of(data)
    if name in OPENERS:
        return _by_package(str(name), data, frame, check)
    if name == "JPEG XL" and (size := jxl_size(data)) is not None:
        check(size)
    data, profile = without_large_metadata(data)
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        # Pillow knows no TIFF whose first picture is what a sensor measured.
        if not is_tiff_of_raw(data):
            raise
        return _by_package("RAW", data, frame, check)
    if profile is not None:
        image.info["icc_profile"] = profile
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        # The decoder has turned it upright, by what the image says outside of EXIF.
        image.info.pop("exif", None)
    if is_thumbnail_of_raw(image) and is_installed("RAW"):
        # Where rawpy cannot read it either, the thumbnail is better than nothing.
        with suppress(OSError):
            return _by_package("RAW", data, frame, check)
    note_thumbnail(image, note=note)
    if frame != WHOLE:
        place = frame.place(getattr(image, "n_frames", 1))
        if place is None:
            raise NoFrame
        image.seek(place)
    check(image.size)
    return image


def check_size(size: tuple[int, int], *, most: int | None) -> None:
    """Raise `TooManyPixels` for more pixels than `most`, or by default than Pillow allows."""
    pixels, pillows = size[0] * size[1], LIFTED.pillows
    limit = most if most is not None else 2 * pillows if pillows else None
    if limit is not None and pixels > limit:
        raise TooManyPixels(pixels)


def is_huge(size: tuple[int, int]) -> bool:
    """True for more pixels than Pillow allows by default."""
    pillows = LIFTED.pillows
    return pillows is not None and size[0] * size[1] > 2 * pillows


class _Lifted:
    """Lifts the limit of Pillow, which is one for the whole process, while a thread decodes within another one."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._kept: int | None = None

    @property
    def pillows(self) -> int | None:
        """The limit of Pillow, as it is when it is not lifted."""
        with self._lock:
            return self._kept if self._inside else Image.MAX_IMAGE_PIXELS

    @contextmanager
    def up_to(self, most: int | None) -> Iterator[None]:
        """Lift it in a `with` block, if `most` is above it; the pixels must be checked in its place."""
        if most is None:
            yield
            return
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    Image.MAX_IMAGE_PIXELS = self._kept


LIFTED = _Lifted()


class _Accepting:
    """Pillow's switch for truncated files, which is one for all threads: this one answers for each by itself."""

    def __init__(self, otherwise: bool) -> None:
        self.here, self._otherwise = local(), otherwise

    def __bool__(self) -> bool:
        return bool(getattr(self.here, "on", self._otherwise))


@contextmanager
def accepting_truncated() -> Iterator[None]:
    """Have Pillow decode what there is of a truncated file, in this thread."""
    with _INSTALLING:
        switch: Any = ImageFile.LOAD_TRUNCATED_IMAGES
        if not isinstance(switch, _Accepting):
            switch = _Accepting(switch)
            ImageFile.LOAD_TRUNCATED_IMAGES = switch
    switch.here.on = True
    try:
        yield
    finally:
        del switch.here.on


_INSTALLING = Lock()


def count_frames(data: bytes, *, limits: Limits) -> int | None:
    """How many frames or pages there are in these bytes; `None` for a video, which has many. Raises as `open_image`."""
    name = None if data.startswith(_USUAL) else format_of(data)
    if name == "video":
        return None
    if name == "PDF":
        return count_pages(data) if is_installed("PDF") else 1
    with LIFTED.up_to(limits.max_pixels):
        image = Image.open(io.BytesIO(without_large_metadata(data)[0]))
        check_size(image.size, most=limits.max_pixels)
        return int(getattr(image, "n_frames", 1))


@lru_cache
def is_installed(name: str) -> bool:
    """True if the package of a format is installed."""
    package, _, module = FORMATS[name].module.partition(".")
    try:
        return find_spec(FORMATS[name].module if module else package) is not None
    except ImportError:
        return False


def _by_package(name: str, data: bytes, frame: Frame, check: Check) -> Image.Image:
    if not is_installed(name):
        raise NeedsPackage(name)
    try:
        return OPENERS[name](data, frame, check)
    except (NoImage, TooManyPixels, MemoryError):
        raise
    except Exception as e:
        raise OSError(str(e) or type(e).__name__) from e
