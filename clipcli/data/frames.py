"""Makes several images of one file: frames of a video or an animation, pages of a TIFF or a PDF, spread evenly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from clipcli.data.file_names import suffix_of
from clipcli.data.formats import FRAMES
from clipcli.records import Frame, Held, ImageItem


def may_have_frames(item: ImageItem) -> bool:
    """True for an image whose file may hold several frames or pages, by its suffix."""
    return not isinstance(item.reference.member, Held) and suffix_of(item.id) in FRAMES


def frames_of(item: ImageItem, count: int) -> list[ImageItem]:
    """So many frames of the image, each an image by itself."""
    return [
        replace(item, id=f"{item.id}#frame={n + 1}", reference=replace(item.reference, frame=Frame(n, count)))
        for n in range(count)
    ]


def with_frames(items: Iterable[ImageItem], count: int | None) -> tuple[list[ImageItem], Sequence[int]]:
    """The images, with `count` frames in place of each that may have some, and how many each has become."""
    found: list[ImageItem] = []
    counts: list[int] = []
    for item in items:
        several = count is not None and count > 1 and may_have_frames(item)
        found += frames_of(item, count or 1) if several else [item]
        counts.append(count or 1 if several else 1)
    return found, counts
