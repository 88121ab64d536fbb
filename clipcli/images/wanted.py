"""What is wanted of each image, as a record that another process can be given: the pixels for some models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipcli.data.reference import digest_of
from clipcli.images.decode import DEFAULT_LIMITS, TRUNCATED, attempt, decoding_to_resize
from clipcli.images.limits import Limits
from clipcli.images.resize import Least, Resize, least_pixels, resizer
from clipcli.images.stopwatch import Stopwatch
from clipcli.notices import Note, Notice
from clipcli.records import Content, Frame, ImageItem, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.preprocessing import Preprocessing

Pixels = NDArray[np.uint8]
# The resized pixels of an image, `[H, W, 3]` for each preprocessing, and the hash of its bytes.
Found = tuple[list[Pixels], bytes | None]
Look = Callable[[Content, Frame, Note], Found]
Read = Callable[[ImageItem, Note], Found | Skipped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The pixels of an image for each of `ways`; without one, the whole image upright in RGB.

    `decode` is a key of `DECODES`, `color` of `COLORS`. With `digests` the bytes are hashed.
    """

    ways: tuple[Preprocessing, ...] = ()
    decode: str = "exact"
    color: str = "managed"
    digests: bool = False
    limits: Limits = DEFAULT_LIMITS

    def look(self) -> Look:
        """A function that gives the pixels of an image. It raises as `decoding`."""
        return look_with(
            [resizer(way) for way in self.ways],
            least=least_pixels(self.ways, decode=self.decode) if self.ways else None,
            color=self.color,
            digests=self.digests,
            limits=self.limits,
        )


def look_with(
    resizes: Sequence[Resize],
    *,
    least: Least | None = None,
    color: str = "managed",
    digests: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Look:
    """As `Wanted.look`, with functions that resize; without one, of the whole image."""

    def look(data: Content, frame: Frame, note: Note) -> Found:
        noted: list[Notice] = []

        def note_here(notice: Notice, detail: str = "") -> None:
            noted.append(notice)
            note(notice, detail)

        decoding = decoding_to_resize(
            data, least=least, color=color, limits=limits, frame=frame, note=note_here, whole=not resizes
        )
        with decoding as image:
            pixels = [np.array(resize(image)) for resize in resizes] or [np.array(image)]
        # What there is of a truncated file is not remembered: a later run may not accept it.
        if not digests or not isinstance(data, bytes) or TRUNCATED in noted:
            return pixels, None
        return pixels, digest_of(data, frame)

    return look


def reading(look: Look, *, watch: Stopwatch) -> Read:
    """A function that reads an image and looks at it, in this process; `Skipped` where that fails."""

    def read(item: ImageItem, note: Note) -> Found | Skipped:
        return attempt(item, lambda data: look(data, item.reference.frame, note), watch=watch)

    return read
