"""Takes some of the images, for a first look: the first, or some at random."""

from __future__ import annotations

import random

from clipcli.errors import UsageError
from clipcli.records import ImageItem

_SEED = 0


def first_look(
    items: list[ImageItem], *, max_images: int | None, sample: int | None
) -> tuple[list[ImageItem], str | None]:
    """The first `max_images`, or `sample` of them that are drawn by a fixed seed, in order; and what is left out.

    Raises `UsageError` if both are given.
    """
    if max_images is not None and sample is not None:
        raise UsageError("--max-images takes the first images, and --sample some at random; give one of them")
    if max_images is not None and max_images < len(items):
        return items[:max_images], _left_out(len(items), max_images, "the first", "--max-images")
    if sample is not None and sample < len(items):
        drawn = sorted(random.Random(_SEED).sample(range(len(items)), sample))
        return [items[n] for n in drawn], _left_out(len(items), sample, "a random", "--sample")
    return items, None


def _left_out(count: int, taken: int, which: str, flag: str) -> str:
    noun = "image was" if count - taken == 1 else "images were"
    return f"{which} {taken:,} of {count:,} images ({flag} {taken}); {count - taken:,} {noun} left out"
