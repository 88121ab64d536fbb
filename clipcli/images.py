"""From bytes to pixels: decode, orient, resize and crop, in threads that look a bounded way ahead."""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from clipcli.decode_threads import DecodeThreads
from clipcli.errors import UsageError, unknown
from clipcli.runtime_kinds import DECODES
from clipcli.stopwatch import Stopwatch
from clipcli.types import Batch, Entry, ImageItem, Remembered, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Preprocessing

Pixels = NDArray[np.uint8]
Resize = Callable[[Image.Image], Image.Image]
# From the width and height of an upright image to the least of them that decoding must leave.
Least = Callable[[tuple[int, int]], tuple[int, int]]
Result = TypeVar("Result")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
# EXIF orientations in which width and height are stored the other way round.
_TURNED = (5, 6, 7, 8)


def batches(
    items: Iterable[ImageItem | Remembered],
    *,
    resize: Resize,
    batch_size: int,
    threads: DecodeThreads,
    least: Least | None = None,
) -> Iterator[Batch]:
    """Batches of up to `batch_size` inputs in order, bad ones included as `Skipped`; remembered ones are not read.

    `least` is as in `decode`; the threads' watch takes the time to `read` and to `decode`, and the threads are closed.

    At most two batches are decoded ahead of the one that was asked for.
    """
    for (batch,) in batches_for_each((resize,), items, batch_size=batch_size, threads=threads, least=least):
        yield batch


def batches_for_each(
    resizes: Sequence[Resize],
    items: Iterable[ImageItem | Remembered],
    *,
    batch_size: int,
    threads: DecodeThreads,
    least: Least | None = None,
) -> Iterator[tuple[Batch, ...]]:
    """`batches` for several ways to resize at once: each image is read and decoded only once."""
    register_plugins()
    entries: list[Entry | Remembered] = []
    pixels: list[list[Pixels]] = []

    def resized(data: bytes) -> list[Pixels]:
        image = decode(data, least=least)
        return [np.array(resize(image)) for resize in resizes]

    for item, decoded in _look_ahead(items, resized, most=2 * batch_size, threads=threads):
        if isinstance(decoded, Skipped | Remembered):
            entries.append(decoded)
        else:
            entries.append(item)
            pixels.append(decoded)
        if len(entries) == batch_size:
            yield tuple(to_batch(entries, [one[n] for one in pixels]) for n in range(len(resizes)))
            entries, pixels = [], []
    if entries:
        yield tuple(to_batch(entries, [one[n] for one in pixels]) for n in range(len(resizes)))


def _look_ahead(
    items: Iterable[ImageItem | Remembered],
    use: Callable[[bytes], Result],
    *,
    most: int,
    threads: DecodeThreads,
) -> Iterator[tuple[ImageItem, Result | Skipped | Remembered]]:
    """Each item with what `use` makes of its bytes, made in threads up to `most` items ahead."""
    pending: deque[Callable[[], tuple[ImageItem, Result | Skipped | Remembered]]] = deque()
    try:
        for item in items:
            if isinstance(item, Remembered):
                pending.append(partial(_as_it_is, item))
            else:
                read = threads.submit(partial(attempt, item, use, watch=threads.watch))
                pending.append(partial(_awaited, item, read, threads))
            if len(pending) > most:
                yield pending.popleft()()
        while pending:
            yield pending.popleft()()
    finally:
        threads.close()


def _as_it_is(remembered: Remembered) -> tuple[ImageItem, Remembered]:
    return remembered.item, remembered


def _awaited(item: ImageItem, future: Future[Result], threads: DecodeThreads) -> tuple[ImageItem, Result]:
    result = future.result()
    threads.one_done()
    return item, result


def register_plugins() -> None:
    """Let Pillow open HEIC photos where the plug-in for it is installed."""
    if importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()


def read_pixels(item: ImageItem, resize: Resize) -> Pixels | Skipped:
    """Pixels uint8 `[H, W, 3]` of an image, or why there are none."""
    return attempt(item, lambda data: np.array(resize(decode(data))))


def attempt(item: ImageItem, use: Callable[[bytes], Result], *, watch: Stopwatch | None = None) -> Result | Skipped:
    """What `use` makes of the item's bytes, or why it makes nothing of them."""
    watch = watch or Stopwatch()
    data = b""
    try:
        with watch.on("read"):
            data = item.read()
        with watch.on("decode"):
            return use(data)
    # Pillow's decoders raise nearly anything on a broken file, and one bad image must never stop a run.
    except Exception as e:
        return Skipped(item, _reason(e, data))


def decode(data: bytes, *, least: Least | None = None) -> Image.Image:
    """An image as upright RGB: EXIF orientation applied, transparency over white, 16 bits scaled to 8, first frame.

    Given `least`, a JPEG is decoded at the smallest scale of its cosine transform (1, 1/2, 1/4 or 1/8) that leaves so
    many pixels.
    """
    image = Image.open(io.BytesIO(data))
    if least is not None and isinstance(image, JpegImageFile):
        turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        width, height = least(image.size[::-1] if turned else image.size)
        image.draft(None, (height, width) if turned else (width, height))
    return upright(image)


def upright(image: Image.Image) -> Image.Image:
    """An opened image decoded, turned as its EXIF orientation says, in RGB; what is so already is not copied."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return to_rgb(image)


def check_decode(decode: str, *, device: str) -> None:
    """Raises `UnknownName` for a way to decode that is not in the table, `UsageError` where the device cannot."""
    if decode not in DECODES:
        raise unknown("way to decode", decode, DECODES)
    if decode == "card" and device != "cuda":
        raise UsageError(f"no NVIDIA card decodes on {device}; give --decode exact or fast")


def least_pixels(preprocessing: Preprocessing, *, decode: str) -> Least | None:
    """For `fast` twice the size that an image is resized to, and never less; else nothing."""
    if decode != "fast":
        return None
    height, width = preprocessing.size
    if preprocessing.resize_mode == "longest":
        return partial(_twice_fitted, width=width, height=height)
    # Squashed to this size, or resized until both sides reach it and then cropped.
    return lambda _: (2 * width, 2 * height)


def _twice_fitted(size: tuple[int, int], *, width: int, height: int) -> tuple[int, int]:
    """Twice the size that an image has when it just fits into `width` and `height`."""
    ratio = max(size[0] / width, size[1] / height)
    return math.ceil(2 * size[0] / ratio), math.ceil(2 * size[1] / ratio)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow as RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _DEEP_MODES:
        return _to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def resizer(preprocessing: Preprocessing) -> Resize:
    """The checkpoint's own way from an image to the model's input size, as open_clip does it, up to uint8."""
    steps = resize_steps(preprocessing)

    def resize(image: Image.Image) -> Image.Image:
        for step in steps:
            image = step(image)
        return image

    return resize


def resize_steps(preprocessing: Preprocessing) -> Sequence[Callable[[Any], Any]]:
    """The steps of it."""
    from clipcli.backbones.library import open_clip

    config = open_clip.transform.PreprocessCfg(
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        interpolation=preprocessing.interpolation,
        resize_mode=preprocessing.resize_mode,
        fill_color=preprocessing.fill_color,
    )
    # The last two steps, to a tensor and normalising, are done for a whole batch on the device.
    steps: Sequence[Callable[[Any], Any]]
    steps = open_clip.transform.image_transform_v2(config, is_train=False).transforms[:-2]
    return steps


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 or 32 bits, scaled rather than clipped."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
    if image.mode == "F":
        # Floats are taken for shares of white, or where they are larger for shares of the brightest.
        white = max(1.0, float(values.max(initial=0.0)))
    else:
        white = 65535.0 if values.max(initial=0.0) <= 65535 else float(values.max())
    return Image.fromarray(np.clip(values / white * 255, 0, 255).round().astype(np.uint8))


def to_batch(entries: Sequence[Entry | Remembered], pixels: Sequence[Pixels]) -> Batch:
    """A batch of these entries, with the pixels of those that are neither skipped nor remembered."""
    return Batch(tuple(entries), np.stack(pixels) if pixels else np.empty((0, 0, 0, 3), np.uint8))


def _reason(error: Exception, data: bytes) -> str:
    text = " ".join(str(error).split())
    match error:
        case FileNotFoundError():
            return "no such file"
        case PermissionError():
            return "no permission to read it"
        case IsADirectoryError():
            return "a folder, not an image"
        case UnidentifiedImageError() if not data:
            return "an empty file"
        case UnidentifiedImageError() if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
            return "HEIC needs a plug-in: pip install 'clipcli[heif]'"
        case UnidentifiedImageError():
            return "not an image"
        case Image.DecompressionBombError():
            return "too many pixels"
        case OSError() if "truncated" in text:
            return "truncated"
    return f"cannot be decoded: {text or type(error).__name__}"
