"""The records that flow down the pipe, from a source to a writer.

A batch's `entries` hold every input in order, bad images included; the rows of its arrays belong, in the same
order, to the entries that are images. Nothing travels in a parallel list that could slip by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One input: its name as the user will see it, and how to get its bytes.

    `file` is the file it is, or lies in, as the start of its name; `None` where it is in no file of its own.
    """

    id: str
    read: Callable[[], bytes]
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input that could not be read or decoded, and why in a few words."""

    item: ImageItem
    reason: str


Entry = ImageItem | Skipped


@dataclass(frozen=True, slots=True)
class Remembered:
    """An input that some models have encoded before: its embedding `[D]` for each model, `None` where there is none."""

    item: ImageItem
    embeddings: tuple[NDArray[np.float32] | None, ...]

    @property
    def is_whole(self) -> bool:
        """Every model has its embedding: the image need not be read."""
        return all(embedding is not None for embedding in self.embeddings)


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded images: `pixels` is uint8 `[N, H, W, 3]`, one per entry that is neither skipped nor wholly remembered.

    `notes` tell the user about anything unusual in how they were made.
    """

    entries: tuple[Entry | Remembered, ...]
    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedded:
    """Image embeddings, L2-normalised: for each model float32 `[N, D]`, with a row per entry that is not skipped."""

    entries: tuple[Entry, ...]
    embeddings: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of images against classes: `values` is float32 `[N, C]`, one row per entry that is not skipped."""

    entries: tuple[Entry, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the output: the best `K` labels with their scores, or the reason why there are none."""

    path: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    error: str | None = None
