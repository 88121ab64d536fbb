"""Lists the frames of files that have several, each as an image, for `--frame-rows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from clipcli.data.frames import frames_of, may_have_frames
from clipcli.images.decode import attempt, prepare_pillow
from clipcli.images.isolate import Isolated
from clipcli.images.limits import Limits
from clipcli.images.opening import count_frames
from clipcli.images.wanted import Wanted
from clipcli.records import Content, ImageItem, Skipped


def each_frame(items: Sequence[ImageItem], most: int, *, limits: Limits) -> list[ImageItem]:
    """The images, with at most so many frames in place of each file that has several.

    A file whose frames cannot be counted stays as it is: its row says why.
    """
    prepare_pillow()
    isolated = Isolated(Wanted(limits=limits)) if limits.isolate else None
    count: Callable[[ImageItem], int | Skipped | None]
    count = isolated.count if isolated else partial(attempt, use=partial(_count, limits=limits))
    found: list[ImageItem] = []
    try:
        for item in items:
            frames = count(item) if may_have_frames(item) else 1
            several = 0 if isinstance(frames, Skipped) else min(most, most if frames is None else frames)
            found += frames_of(item, several) if several > 1 else [item]
    finally:
        if isolated:
            isolated.close()
    return found


def _count(data: Content, *, limits: Limits) -> int | None:
    return count_frames(data, limits=limits) if isinstance(data, bytes) else 1
