"""Decodes image files of any kind to upright RGB, or says why one cannot be decoded."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from clipcli.data.formats import FORMATS, format_of
from clipcli.data.held import copied
from clipcli.data.reference import NoImage, content_of
from clipcli.errors import install
from clipcli.images.budget import BUDGET
from clipcli.images.camera_raw import note_thumbnail
from clipcli.images.colours import to_srgb
from clipcli.images.depth import DEEP_GREYS, grey_of_8_bits, has_deep_colours, stretch_deep_colours
from clipcli.images.huge import shrunk
from clipcli.images.icc import profile_of
from clipcli.images.in_hand import IN_HAND
from clipcli.images.limits import Limits
from clipcli.images.opening import (
    LIFTED,
    NeedsPackage,
    TooManyPixels,
    accepting_truncated,
    is_huge,
    is_installed,
    open_image,
)
from clipcli.images.resize import Least, Resize
from clipcli.images.silence import silence_for
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.stored import Stored, stored_jpeg
from clipcli.notices import Note, Notice, unsaid
from clipcli.records import WHOLE, Content, Frame, Held, ImageItem, Skipped

Result = TypeVar("Result")
TRUNCATED = Notice("image is truncated", "images are truncated", "labelled by what there is of them; copy them anew")
DEFAULT_LIMITS = Limits()
# Decoders may quote what they read.
_LONGEST = 200
_REASONS = {
    FileNotFoundError: "no such file",
    PermissionError: "no permission to read it",
    IsADirectoryError: "a folder, not an image",
    MemoryError: "needs more memory than it may have",
}
_BLOCK = 64 << 20
# EXIF orientations in which width and height are stored the other way round.
_TURNED = (5, 6, 7, 8)


def prepare_pillow() -> None:
    """Let Pillow open HEIC and JPEG XL, if their packages are installed, give memory back, and not speak for itself.

    Pillow logs a few errors, which Python writes to standard error where a program has no log.
    """
    log = logging.getLogger("PIL")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    if is_installed("HEIC"):
        importlib.import_module("pillow_heif").register_heif_opener()
    if is_installed("JPEG XL"):
        importlib.import_module("pillow_jxl")
    # Freed blocks below 32 MB may stay with the thread that had them, so that each thread keeps its largest image.
    Image.core.set_block_size(_BLOCK)  # type: ignore[attr-defined]


def read_pixels(item: ImageItem, resize: Resize) -> NDArray[np.uint8] | Skipped:
    """The pixels of an image, resized: uint8 `[H, W, 3]`; `Skipped` if it cannot be read or decoded."""
    return attempt(item, lambda data: np.array(resize(decode(data))))


def attempt(item: ImageItem, use: Callable[[Content], Result], *, watch: Stopwatch | None = None) -> Result | Skipped:
    """The result of `use` on the item's content; `Skipped` if reading it or `use` raises.

    `watch` measures the time to `read` and to `decode`.
    """
    watch = watch or Stopwatch()
    content: Content = b""
    try:
        with IN_HAND.holding(item.id):
            with watch.on("read"):
                content = content_of(item.reference)
            with watch.on("decode"):
                return use(content)
    # Pillow's decoders raise nearly any exception on a broken file, and one bad image must never stop a run.
    except Exception as e:
        return Skipped(item, reason_of(e, content if isinstance(content, bytes) else b"held"))


def decode(
    data: Content,
    *,
    least: Least | None = None,
    color: str = "managed",
    limits: Limits = DEFAULT_LIMITS,
    frame: Frame = WHOLE,
    note: Note = unsaid,
) -> Image.Image:
    """A frame of an image as upright RGB: EXIF orientation applied, transparency over white, 16 bits as 8.

    Of an image that a program holds it is the frame and the size that it is at.

    With `least`, a function from an image's width and height to the smallest that are enough, a JPEG is decoded at the
    smallest DCT scale (1, 1/2, 1/4 or 1/8) that is not below. `color` is a key of `COLORS`. Raises what Pillow raises,
    and as `open_image`.
    """
    with decoding(data, least=least, color=color, limits=limits, frame=frame, note=note) as image:
        return image


@contextmanager
def decoding(
    data: Content,
    *,
    least: Least | None = None,
    color: str = "managed",
    limits: Limits = DEFAULT_LIMITS,
    frame: Frame = WHOLE,
    note: Note = unsaid,
) -> Iterator[Image.Image]:
    """As `decode`, for a `with` block in which the image is used: its pixels count in the budget until the end."""
    whole = decoding_to_resize(data, least=least, color=color, limits=limits, frame=frame, note=note, whole=True)
    with whole as image:
        yield cast(Image.Image, image)


@contextmanager
def decoding_to_resize(
    data: Content,
    *,
    least: Least | None = None,
    color: str = "managed",
    limits: Limits = DEFAULT_LIMITS,
    frame: Frame = WHOLE,
    note: Note = unsaid,
    whole: bool = False,
) -> Iterator[Image.Image | Stored]:
    """As `decoding`, to be resized by a `resizer`: unless `whole`, a large JPEG is given as it is stored, sooner."""
    if isinstance(data, Held):
        with BUDGET.holding(data.pixels):
            yield _held_as_rgb(data, color=color, note=note)
        return
    with silence_for(data), LIFTED.up_to(limits.max_pixels):
        image: Image.Image | Stored
        image = opened = _opened(data, least=least, limits=limits, frame=frame, note=note)
        stores = nullcontext() if whole else stored_jpeg(opened, data, color=color)
        with BUDGET.holding(image.width * image.height), stores as stored:
            try:
                image = stored or _upright(opened, data, color=color, note=note)
            except OSError as e:
                if limits.truncated != "accept" or "truncated" not in str(e):
                    raise
                with accepting_truncated():
                    opened = _opened(data, least=least, limits=limits, frame=frame, note=unsaid)
                    image = _of_truncated(_upright(opened, data, color=color, note=note), e, note=note)
            yield image


def _opened(data: bytes, *, least: Least | None, limits: Limits, frame: Frame, note: Note) -> Image.Image:
    """The image in these bytes, not yet decoded; a JPEG at the scale to decode it at."""
    image = open_image(data, limits=limits, frame=frame, note=note)
    if limits.max_pixels is not None and is_huge(image.size):
        return shrunk(image, data) or image
    if least is not None and isinstance(image, JpegImageFile):
        turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        width, height = least(image.size[::-1] if turned else image.size)
        image.draft(None, (height, width) if turned else (width, height))
    return image


def _of_truncated(image: Image.Image, error: OSError, *, note: Note) -> Image.Image:
    """What there is of a truncated image, which is noted. Raises the `error` if there is nothing but one colour."""
    if not np.ptp(np.asarray(image), axis=(0, 1)).any():
        raise error
    note(TRUNCATED)
    return image


def _upright(image: Image.Image, data: bytes, *, color: str, note: Note) -> Image.Image:
    """Decode the open image of these bytes, apply its EXIF orientation, and bring it to RGB."""
    profile = profile_of(image) if color == "managed" else None
    is_deep = has_deep_colours(image)
    image.load()
    if is_deep:
        stretch_deep_colours(image, data, note=note)
    ImageOps.exif_transpose(image, in_place=True)
    return to_rgb(image, profile=profile, note=note)


def _held_as_rgb(held: Held, *, color: str, note: Note) -> Image.Image:
    """A copy of an image that a program holds, brought to RGB as that of a file is."""
    image = copied(held)
    note_thumbnail(held.image, note=note)
    return to_rgb(image, profile=profile_of(image) if color == "managed" else None, note=note)


def to_rgb(image: Image.Image, *, profile: bytes | None = None, note: Note = unsaid) -> Image.Image:
    """An image of any Pillow mode as RGB, with transparency over white. With an ICC profile it becomes sRGB."""
    if image.mode in DEEP_GREYS:
        image = grey_of_8_bits(image, note=note)
    image = to_srgb(image, profile, note=note)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def reason_of(error: Exception, data: bytes) -> str:
    """Why an image cannot be read, in a few words; `data` is its content, as far as it was read."""
    text = " ".join(str(error).split())
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    match error:
        case NoImage():
            return text
        case NeedsPackage(args=(name,)):
            return _needs_package(name)
        case TooManyPixels() | Image.DecompressionBombError():
            found = re.search(r"\d+", text)
            return f"too many pixels{f': {int(found[0]):,}' if found else ''}; --max-pixels allows more"
        case UnidentifiedImageError():
            return _unidentified(data)
        case OSError() if "truncated" in text:
            return "truncated"
    return f"cannot be decoded: {text[:_LONGEST] or type(error).__name__}"


def _unidentified(data: bytes) -> str:
    """Why Pillow does not know what these bytes are."""
    name = format_of(data)
    if name is None or is_installed(name):
        return "not an image" if data else "an empty file"
    return _needs_package(name)


def _needs_package(name: str) -> str:
    return f"{name} needs a plug-in: {install(FORMATS[name].package)}"
