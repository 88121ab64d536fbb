"""Image features to learn from: real ones, and those of images that nobody has taken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from texts import Texts
from torch import Tensor
from tower import Head

# The logit of the class that an imagined image is pushed to, from one that hardly shows it to one that plainly does.
_LEAST_LOGIT, _MOST_LOGIT = 4.0, 14.0
# What is added to the covariance's diagonal, as a share of its mean.
_SHRINKAGE = 0.3


@dataclass(frozen=True, slots=True)
class Images:
    """Features `[N, F]` of real images with their classes `[N]`, -1 where they have none.

    `captioned` are the features of images with captions, `captions` the numbers of the texts of each.
    """

    features: Tensor
    classes: Tensor
    captioned: Tensor
    captions: list[list[int]]


def read_images(folder: Path, texts: Texts) -> Images:
    """Read the features of all images; a class is known by any of its names."""
    classes = {texts.texts[name]: n for n, names in enumerate(texts.classes) for name in reversed(names)}
    features, known, captioned, captions = [], [], [], []
    for file in sorted(folder.glob("*.npy")):
        found = torch.from_numpy(np.load(file))
        features.append(found)
        if file.stem in texts.captions:
            captioned.append(found)
            captions += texts.captions[file.stem]
            known += [-1] * len(found)
        else:
            known += [classes[name.lower()] for [name] in json.loads(file.with_suffix(".json").read_text())]
    return Images(torch.cat(features), torch.tensor(known), torch.cat(captioned), captions)


class Imagination:
    """Makes features of images of any class out of those of real ones, as most classes have no image here.

    A feature is pushed until the head is as sure of the class as it is of real images: along the class's weights, or
    along these times the covariance of real features, which is where linear discriminant analysis has the class's mean.
    """

    def __init__(self, head: Head, images: Images) -> None:
        self._head, self._mean = head, images.features.mean(0)
        covariance = torch.cov(images.features[images.classes >= 0].T)
        covariance += _SHRINKAGE * covariance.diag().mean() * torch.eye(len(covariance))
        weights = head.weight - head.weight.mean(0)
        # Each raises the class's logit by one.
        self._ways = [way / (way * weights).sum(1, keepdim=True) for way in (weights, weights @ covariance)]

    def __call__(self, features: Tensor, classes: Tensor) -> Tensor:
        """Push features `[N, F]` towards the classes `[N]`, after taking off a random part of what they show."""
        kept, wanted, mix = torch.rand(3, len(features), 1)
        faded = self._mean + kept * (features - self._mean)
        has = self._head.logits(faded).gather(1, classes[:, None])
        missing = _LEAST_LOGIT + wanted * (_MOST_LOGIT - _LEAST_LOGIT) - has
        along, across = (way[classes] for way in self._ways)
        pushed: Tensor = faded + missing * (mix * along + (1 - mix) * across)
        return pushed.relu()
