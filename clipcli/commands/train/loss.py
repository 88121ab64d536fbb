"""Contrastive losses over image and text embeddings, in which one image may have several right captions.

Each is computed for the rows of one process against all columns; the mean over processes is the loss of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from clipcli.commands.train.processes import Processes


@dataclass(frozen=True, slots=True)
class Features:
    """What both towers make of the pairs of a batch: embeddings `[b, D]`, L2-normalised float32.

    `logit_scale` is the factor itself; `logit_bias` is `None` for a model without.
    """

    images: Tensor
    texts: Tensor
    logit_scale: Tensor
    logit_bias: Tensor | None


@dataclass(frozen=True, slots=True)
class Groups:
    """Which pairs of a batch belong together: ids `[b]`, of which equal ones are the same thing.

    `slots` are the places in the whole batch, all different; a pair without a class has a class of its own. `data` says
    which DATA each pair is of.
    """

    slots: Tensor
    pairs: Tensor
    captions: Tensor
    classes: Tensor
    data: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Groups:
        """The groups with something done to all ids."""
        return Groups(*(change(getattr(self, name)) for name in self.__slots__))

    def of(self, rows: slice | Tensor) -> Groups:
        """The groups of some of the pairs."""
        return self.each(lambda ids: ids[rows])


@dataclass(frozen=True, slots=True)
class Mix:
    """Images of which a part shows another image: `shares` `[b]` of each are its own, and the rest is of `groups`."""

    groups: Groups
    shares: Tensor


def positives(own: Groups, every: Groups, *, duplicates: str) -> Tensor:
    """Which of all pairs are right answers for each of one's own, as 1 among 0 `[b, B]`: itself, and where `duplicates`
    are `positive`, those of the same image, caption or class (as in UniCL, Yang et al. 2022).
    """
    same = _equal(own.slots, every.slots)
    if duplicates == "positive":
        for rows, columns in ((own.pairs, every.pairs), (own.captions, every.captions), (own.classes, every.classes)):
            same = same | _equal(rows, columns)
    return same.float()


@dataclass(frozen=True, slots=True)
class Right:
    """How far answers are right, from 0 to 1: all texts for each image of one's own `[b, B]`, and all images for each
    text. Where pairs are `apart` `[b, B]`, an answer that is not right is not wrong either, and does not count.
    """

    texts: Tensor
    images: Tensor
    apart: Tensor | None = None

    def unasked(self, right: Tensor) -> Tensor | None:
        """Which answers of `texts` or of `images` do not count; `None` that all do."""
        return None if self.apart is None else self.apart & (right == 0)


def clip_loss(own: Features, every: Features, right: Right) -> Tensor:
    """Symmetric cross-entropy over scaled cosine similarities (Radford et al. 2021), the mean of both directions.

    Right answers share the target by how far they are right. With one each this is open_clip's `ClipLoss`.
    """
    images = own.logit_scale * own.images @ every.texts.T
    texts = own.logit_scale * own.texts @ every.images.T
    there = _cross_entropy(images, right.texts, right.unasked(right.texts))
    back = _cross_entropy(texts, right.images, right.unasked(right.images))
    return (there + back) / 2


def siglip_loss(own: Features, every: Features, right: Right) -> Tensor:
    """Every image with every caption as a question of its own (Zhai et al. 2023), summed over captions, the mean over
    images. With one right answer each this is open_clip's `SigLipLoss`.
    """
    logits = own.logit_scale * own.images @ every.texts.T
    if own.logit_bias is not None:
        logits = logits + own.logit_bias
    unasked = right.unasked(right.texts)
    weight = None if unasked is None else (~unasked).float()
    losses = functional.binary_cross_entropy_with_logits(logits, right.texts, weight, reduction="sum")
    return losses / len(own.images)


Loss = Callable[[Features, Features, Right], Tensor]
FUNCTIONS: dict[str, Loss] = {"clip": clip_loss, "siglip": siglip_loss}


@dataclass(frozen=True, slots=True)
class Contrast:
    """The loss of a run: which, how duplicates count, where negatives are from, and over which processes."""

    name: str
    duplicates: str
    negatives: str
    processes: Processes

    def __call__(self, own: Features, groups: Groups, mix: Mix | None = None) -> Tensor:
        """This process's part of the loss, whose mean over processes is the loss of the whole batch."""
        gather = self.processes.gather
        every = Features(gather(own.images), gather(own.texts), own.logit_scale, own.logit_bias)
        return FUNCTIONS[self.name](own, every, self._right(groups, mix))

    def _right(self, groups: Groups, mix: Mix | None) -> Right:
        every = groups.each(self.processes.gather)
        same = positives(groups, every, duplicates=self.duplicates)
        apart = ~_equal(groups.data, every.data) if self.negatives == "data" else None
        if mix is None:
            return Right(same, same, apart)
        shares = self.processes.gather(mix.shares)
        shown = positives(mix.groups, every, duplicates=self.duplicates)
        showing = positives(groups, mix.groups.each(self.processes.gather), duplicates=self.duplicates)
        return Right(
            texts=torch.lerp(shown, same, mix.shares[:, None]),
            images=torch.lerp(showing, same, shares[None, :]),
            apart=apart,
        )


def _cross_entropy(logits: Tensor, right: Tensor, unasked: Tensor | None) -> Tensor:
    if unasked is not None:
        # Finite, as its product with a target of 0 must be 0.
        logits = logits.masked_fill(unasked, torch.finfo(logits.dtype).min / 2)
    return functional.cross_entropy(logits, right / right.sum(dim=1, keepdim=True))


def _equal(rows: Tensor, columns: Tensor) -> Tensor:
    return rows[:, None] == columns[None, :]
