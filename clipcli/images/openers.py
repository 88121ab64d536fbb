"""Opens camera RAW, PDFs and videos, each with its package: the table `OPENERS`, by the format's name."""

from __future__ import annotations

import io
from collections.abc import Callable
from threading import Lock
from typing import Any

from PIL import Image

from clipcli.data.reference import NoFrame, NoImage
from clipcli.records import Frame

# An embedded picture whose longer side is shorter than this is a thumbnail.
LEAST_SIDE = 512
# The longer side of a page, in pixels: models look at fewer.
_PAGE_SIDE = 1024
# PDFium is for one thread at a time.
_PDFIUM = Lock()

Check = Callable[[tuple[int, int]], None]
"""Raises for a picture of more pixels than are allowed, given by width and height."""


def open_raw(data: bytes, frame: Frame, check: Check) -> Image.Image:
    """The picture that the camera embedded in its RAW, or else the RAW developed at half its size.

    Raises what rawpy and Pillow raise.
    """
    import rawpy

    del frame
    with rawpy.imread(io.BytesIO(data)) as raw:
        check((raw.sizes.raw_width, raw.sizes.raw_height))
        embedded = _embedded(raw, check)
        if embedded is not None:
            return embedded
        return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))


def _embedded(raw: Any, check: Check) -> Image.Image | None:
    """The picture embedded in a RAW, if it is more than a thumbnail."""
    import rawpy

    try:
        thumbnail = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if thumbnail.format != rawpy.ThumbFormat.JPEG:
        return Image.fromarray(thumbnail.data) if max(thumbnail.data.shape[:2]) >= LEAST_SIDE else None
    image = Image.open(io.BytesIO(thumbnail.data))
    if max(image.size) < LEAST_SIDE:
        return None
    check(image.size)
    return image


def open_page(data: bytes, frame: Frame, check: Check) -> Image.Image:
    """A page of a PDF, drawn on white. Raises what pypdfium2 raises, and `NoImage` for a page that is not there."""
    import pypdfium2

    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as e:
            needs_password = "password" in str(e).lower()
            raise NoImage("a PDF with a password" if needs_password else f"a PDF that cannot be read: {e}") from None
        try:
            place = frame.place(len(document))
            if place is None:
                raise NoFrame
            page = document[place]
            scale = _PAGE_SIDE / max(*page.get_size(), 1e-3)
            check((round(page.get_width() * scale), round(page.get_height() * scale)))
            # A copy, since the bitmap's memory is PDFium's.
            image: Image.Image = page.render(scale=scale).to_pil().convert("RGB").copy()
            return image
        finally:
            document.close()


def count_pages(data: bytes) -> int:
    """How many pages a PDF has. Raises what pypdfium2 raises."""
    import pypdfium2

    with _PDFIUM:
        document = pypdfium2.PdfDocument(data)
        try:
            return len(document)
        finally:
            document.close()


def open_video(data: bytes, frame: Frame, check: Check) -> Image.Image:
    """A frame of a video: that in the middle, or in the middle of the frame's share of the time.

    Raises what PyAV raises, and `NoImage` where there is no picture.
    """
    # Some kinds of videos are sought inexactly: then all is decoded up to the frame.
    found = _decoded_at(data, frame, check, seek=True) or _decoded_at(data, frame, check, seek=False)
    if found is None:
        raise NoImage("a video without a frame that can be read")
    check((found.width, found.height))
    image: Image.Image = found.to_image()
    return image.rotate(found.rotation, expand=True) if found.rotation else image


def _decoded_at(data: bytes, frame: Frame, check: Check, *, seek: bool) -> Any:
    """The frame that is shown at that time; `None` if there is none, or if seeking has led past it."""
    import av

    with av.open(io.BytesIO(data), mode="r") as container:
        if not container.streams.video:
            raise NoImage("a sound without a picture")
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        check((stream.codec_context.width, stream.codec_context.height))
        wanted, begin = _second(container, stream, frame), _begin(stream)
        if seek and wanted > 0 and stream.time_base is not None:
            # To the last key frame before.
            container.seek((stream.start_time or 0) + int(wanted / stream.time_base), stream=stream)
        found = None
        for decoded in container.decode(stream):
            time = None if decoded.time is None else decoded.time - begin
            if time is not None and time > wanted:
                # The frame before is still shown at that time.
                return found if found is not None or not seek else None
            found = decoded
            if time is None:
                break
        return found


def _begin(stream: Any) -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _second(container: Any, stream: Any, frame: Frame) -> float:
    """The second at which the frame is; 0 where the video does not say how long it is."""
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / 1e6
    return max(0.0, seconds) * (frame.number + 0.5) / frame.of


# By the name of the format in `FORMATS`: a function of the bytes, the frame, and a check of width and height.
OPENERS: dict[str, Callable[[bytes, Frame, Check], Image.Image]] = {
    "RAW": open_raw,
    "PDF": open_page,
    "video": open_video,
}
