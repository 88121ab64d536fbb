"""A sample of the data to measure mixes of weights on, as large as a part of training's time allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The share of training's work that the measurements may take, and so many images and texts at least.
_OF_TRAINING, _LEAST = 0.25, 1_000
# What is left of the prompts at least, and of the images of each data.
_LEAST_PROMPTS, LEAST_IMAGES = 0.1, 500


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the images, with their own captions, and one of the prompts of classes."""

    images: float
    prompts: float


@dataclass(frozen=True, slots=True)
class Work:
    """How much is encoded: images with their own captions, and prompts of classes."""

    images: int
    prompts: int


def sample_share(work: Work, *, encoded: float, times: int) -> Share:
    """How much of the data to measure a model on so many `times`, in a quarter of training's time together.

    `encoded` is how many images and texts training encoded, forwards alone: backwards takes twice as long. Prompts are
    left out first, down to a tenth, for they say the same; then images, down to 500. The shares do not hang on how fast
    the machine is, so that the same run gives the same weights.
    """
    most = max(_LEAST, _OF_TRAINING * 3 * encoded / times)
    prompts = _part(most - work.images, work.prompts, least=_LEAST_PROMPTS)
    images = _part(most - prompts * work.prompts, work.images, least=LEAST_IMAGES / max(1, work.images))
    return Share(images, prompts)


def _part(affordable: float, count: int, *, least: float) -> float:
    return min(1.0, max(least, affordable / count)) if count else 1.0


def spread(count: int, share: float) -> list[int]:
    """The indices of a share of so many things, spread evenly over them; at least one."""
    return [int(n) for n in np.unique(np.linspace(0, count - 1, max(1, round(share * count))).round().astype(int))]
