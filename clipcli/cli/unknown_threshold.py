"""What a command says of the unknown threshold that images of none of the labels taught it."""

from __future__ import annotations

from collections.abc import Iterator


def threshold_in_words(at: float | None, *, nones: int) -> Iterator[str]:
    """The threshold and how many images of none taught it; nothing if none did."""
    if at is not None:
        images = "1 image" if nones == 1 else f"{nones:,} images"
        yield f"Unknown from a score of {at:.2f} on, by {images} of none of the labels: classify --unknown takes it."
