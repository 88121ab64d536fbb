"""Decodes and resizes JPEGs on an NVIDIA card, for `--decode card`.

The pixels are nearly those of Pillow, but not the same. Pillow decodes images that are no plain JPEGs, and those that
the card refuses.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from clipcli.backbones.library import open_clip
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.data.reference import digest_of
from clipcli.errors import one_line
from clipcli.images.batches import to_batch
from clipcli.images.colours import is_srgb
from clipcli.images.decode import DEFAULT_LIMITS, attempt, prepare_pillow
from clipcli.images.limits import Limits
from clipcli.images.lines import is_line
from clipcli.images.resize import resize_steps, resizer
from clipcli.images.threads import DecodeThreads
from clipcli.images.wanted import Pixels, look_with
from clipcli.notices import Notices
from clipcli.records import WHOLE, Batch, Content, Held, ImageItem, Remembered, Skipped

_JPEG = b"\xff\xd8\xff"
_END = b"\xff\xd9"
# The most pixels decoded at once: they take 200 MB, and the decoder about as much again.
_MOST_PIXELS = 1 << 26
# By EXIF orientation: if height and width are swapped, and the axes of `[3, H, W]` to flip afterwards.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (2,)),
    3: (False, (1, 2)),
    4: (False, (1,)),
    5: (True, ()),
    6: (True, (2,)),
    7: (True, (1, 2)),
    8: (True, (1,)),
}


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG that a card can decode: its bytes, its EXIF orientation from 1 to 8, and its area in pixels."""

    data: bytes
    orientation: int
    area: int


Found = Pixels | Jpeg | Skipped | Remembered
Read = tuple[Jpeg | Pixels, bytes | None]


def batches(
    items: Iterable[ImageItem | Remembered],
    *,
    preprocessing: Preprocessing,
    device: str,
    batch_size: int,
    threads: DecodeThreads,
    color: str = "managed",
    digests: bool = False,
    notices: Notices | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Batch]:
    """Yield batches of the images in order, with plain JPEGs decoded on the device, looking two batches ahead.

    Bad images are `Skipped` in their batch. `color` and `notices` are as for `clipcli.images.batches.batches`, and
    `limits` are for what Pillow decodes. The threads are closed at the end.
    """
    prepare_pillow()
    decoder = _Decoder(
        preprocessing,
        device=device,
        threads=threads,
        color=color,
        digests=digests,
        notices=notices or Notices(),
        limits=limits,
    )
    # The decode threads read files. This single thread waits for them, and for the card.
    card = ThreadPoolExecutor(1, thread_name_prefix="card")
    try:
        yield from _two_ahead(iter(items), decoder, card, batch_size=batch_size)
    finally:
        threads.close()
        card.shutdown(wait=False, cancel_futures=True)


def _two_ahead(
    items: Iterator[ImageItem | Remembered], decoder: _Decoder, card: ThreadPoolExecutor, *, batch_size: int
) -> Iterator[Batch]:
    """The batches in order; while one is used, the next two are made."""
    pending: deque[Future[Batch]] = deque()
    while part := list(islice(items, batch_size)):
        pending.append(card.submit(decoder.started(part)))
        if len(pending) > 2:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class _Decoder:
    """Decodes batches, on the device or by Pillow."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        device: str,
        threads: DecodeThreads,
        color: str,
        digests: bool,
        notices: Notices,
        limits: Limits,
    ) -> None:
        self._color, self._notices, self._steps = color, notices, resize_steps(preprocessing)
        self._look = look_with([resizer(preprocessing)], color=color, digests=digests, limits=limits)
        self._device, self._threads, self._digests = device, threads, digests
        self._refusal: str | None = None
        # A stream of its own, beside the model's.
        self._stream = torch.cuda.Stream(device) if device.startswith("cuda") else None  # type: ignore[no-untyped-call]

    def started(self, items: Sequence[ImageItem | Remembered]) -> Callable[[], Batch]:
        """Start reading these images in the threads; returns a function that waits for them and makes the batch."""
        return partial(self._finished, [self._start(item) for item in items])

    def _start(self, one: ImageItem | Remembered) -> Callable[[], tuple[ImageItem, Found]]:
        if isinstance(one, Remembered):
            return lambda: (one.item, one)
        read = self._threads.submit(
            partial(attempt, one, partial(self._jpeg_or_pixels, one), watch=self._threads.watch)
        )
        return partial(_awaited, one, read)

    def _finished(self, started: Sequence[Callable[[], tuple[ImageItem, Found]]]) -> Batch:
        items: list[ImageItem] = []
        found: list[Found] = []
        for wait in started:
            item, one = wait()
            items.append(item)
            found.append(one)
        already_noted = self._refusal is not None
        for group in groups([(place, one) for place, one in enumerate(found) if isinstance(one, Jpeg)]):
            places, jpegs = zip(*group, strict=True)
            for place, after in zip(places, self._decoded(jpegs, [items[n] for n in places]), strict=True):
                items[place], found[place] = after
        pixels = [one for one in found if isinstance(one, np.ndarray)]
        pairs = zip(items, found, strict=True)
        entries = [one if isinstance(one, Skipped | Remembered) else item for item, one in pairs]
        notes = () if already_noted or self._refusal is None else (self._refusal,)
        return replace(to_batch(entries, pixels), notes=notes)

    def _decoded(self, jpegs: Sequence[Jpeg], items: Sequence[ImageItem]) -> Sequence[tuple[ImageItem, Found]]:
        """Decode the JPEGs of these items, by Pillow if the card refuses them. The first refusal is kept as a note."""
        watch = self._threads.watch
        try:
            with watch.on("decode"), self._queue():
                return list(zip(items, decode_on(self._device, jpegs, steps=self._steps).cpu().numpy(), strict=True))
        # The decoder raises for the whole group if one JPEG is bad, memory is short, or it is not installed.
        except Exception as e:
            refusal = f"the card cannot decode JPEGs such as {items[0].id}: {one_line(e)}; Pillow decodes them"
            self._refusal = self._refusal or refusal
            return [_read(item, attempt(item, partial(self._by_pillow, item), watch=watch)) for item in items]

    def _by_pillow(self, item: ImageItem, data: Content) -> Read:
        [pixels], digest = self._look(data, item.reference.frame, self._notices.about(item.id))
        return pixels, digest

    def _jpeg_or_pixels(self, item: ImageItem, data: Content) -> Read:
        jpeg = None
        if not isinstance(data, Held) and item.reference.frame == WHOLE:
            jpeg = plain_jpeg(data, color=self._color)
        if jpeg is None:
            return self._by_pillow(item, data)
        return jpeg, digest_of(jpeg.data) if self._digests else None

    def _queue(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def _awaited(item: ImageItem, read: Future[Read | Skipped]) -> tuple[ImageItem, Found]:
    return _read(item, read.result())


def _read(item: ImageItem, result: Read | Skipped) -> tuple[ImageItem, Found]:
    """The image, with the hash of its content where it may be remembered, and what came of reading it."""
    if isinstance(result, Skipped):
        return item, result
    found, digest = result
    return replace(item, digest=digest), found


def groups(jpegs: Iterable[tuple[int, Jpeg]]) -> Iterator[list[tuple[int, Jpeg]]]:
    """Group JPEGs, each with its index in the batch, so that a card can decode each group at once."""
    group: list[tuple[int, Jpeg]] = []
    area = 0
    for place, jpeg in jpegs:
        if area + jpeg.area > _MOST_PIXELS and group:
            yield group
            group, area = [], 0
        group.append((place, jpeg))
        area += jpeg.area
    if group:
        yield group


def plain_jpeg(data: bytes, *, color: str = "managed") -> Jpeg | None:
    """Read these bytes as a JPEG for the card, or return `None` if Pillow must decode them.

    The card takes baseline JPEGs, grey or in YCbCr, that are complete, small enough, neither long and narrow nor, with
    `color` `managed`, of other colours than sRGB's. Raises whatever Pillow raises for a broken header.
    """
    if not (data.startswith(_JPEG) and data.endswith(_END)):
        return None
    image = Image.open(io.BytesIO(data))
    area = image.width * image.height
    plain = image.format == "JPEG" and image.mode in ("L", "RGB") and "progressive" not in image.info
    # Adobe's marker says that the colours are stored as RGB.
    if not plain or image.info.get("adobe_transform", 1) != 1 or area > _MOST_PIXELS:
        return None
    if is_line(image.size) or (color == "managed" and not is_srgb(image)):
        return None
    return Jpeg(data, image.getexif().get(ExifTags.Base.Orientation, 1), area)


def decode_on(device: str, jpegs: Sequence[Jpeg], *, steps: Sequence[Callable[[Any], Any]]) -> Tensor:
    """Decode JPEGs on the device into upright uint8 pixels `[B, H, W, 3]`, resized by steps of open_clip's transform.

    Raises whatever the decoder raises if it cannot decode one of them.
    """
    data = [torch.frombuffer(bytearray(jpeg.data), dtype=torch.uint8) for jpeg in jpegs]
    decoded = _decoder()(data, device)
    resized = [_resized(_upright(one, jpeg.orientation), steps) for one, jpeg in zip(decoded, jpegs, strict=True)]
    return torch.stack(resized).permute(0, 2, 3, 1).contiguous()


def _decoder() -> Callable[[list[Tensor], str], list[Tensor]]:
    """The function that decodes JPEGs on a device, each to RGB `[3, H, W]`, without regard to the EXIF orientation.

    It is torchcodec's, where that is installed and has one, from version 0.16 on. Else it is torchvision's, which warns
    from version 0.29 on that it will go.
    """
    # torchcodec raises RuntimeError where it was made for another version of torch.
    with suppress(ImportError, RuntimeError, OSError):
        from torchcodec.decoders import decode_jpeg as by_torchcodec

        return lambda data, device: by_torchcodec(data, mode="RGB", device=device)
    from torchvision.io import ImageReadMode, decode_jpeg

    return lambda data, device: decode_jpeg(data, mode=ImageReadMode.RGB, device=device)


def _upright(image: Tensor, orientation: int) -> Tensor:
    swapped, axes = _TURNS.get(orientation, (False, ()))
    return (image.mT if swapped else image).flip(axes)


def _resized(image: Tensor, steps: Sequence[Callable[[Any], Any]]) -> Tensor:
    from torchvision.transforms.functional import resize

    for step in steps:
        if isinstance(step, open_clip.transform.ResizeKeepRatio):
            # This step reads the image's size as Pillow gives it: (width, height).
            size = step.get_params(SimpleNamespace(size=(image.shape[2], image.shape[1])), step.size, step.longest)
            image = resize(image, size, step.interpolation, antialias=True)
        else:
            image = step(image)
    return image
