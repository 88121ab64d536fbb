"""The contrastive losses, over image and text embeddings of a batch in which an image may have several right captions.

With several processes, each computes the loss of its own rows against the columns of all; the mean over the processes
is the loss of the whole batch. Shapes: `b` pairs of this process, `B` pairs of the whole batch, `D` dimensions.
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
    """The output of both towers: embeddings `[b, D]` of the images and texts, L2-normalised float32.

    `logit_scale` is the factor itself, not its logarithm; `logit_bias` is `None` for a model without one.
    """

    images: Tensor
    texts: Tensor
    logit_scale: Tensor
    logit_bias: Tensor | None


@dataclass(frozen=True, slots=True)
class Groups:
    """Ids `[b]` that say which pairs of a batch belong together: those with an equal id in one of the fields.

    `slots` are the places in the whole batch, no two alike. `pairs` differ unless a pair was drawn twice. `captions`
    and `classes` are equal for the same text and the same class; a pair without a class has an id of its own. `data`
    is the index of the DATA that the pair is from.
    """

    slots: Tensor
    pairs: Tensor
    captions: Tensor
    classes: Tensor
    data: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Groups:
        """The groups with `change` applied to each of the fields."""
        return Groups(*(change(getattr(self, name)) for name in self.__slots__))

    def select(self, rows: slice | Tensor) -> Groups:
        """The groups of some of the pairs."""
        return self.map(lambda ids: ids[rows])


@dataclass(frozen=True, slots=True)
class CutMix:
    """Images that show a part of another: the share `shares` `[b]` is an image's own, the rest is that of `groups`."""

    groups: Groups
    shares: Tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """How right each answer is, from 0 to 1 `[b, B]`: all `texts` for each image, and all `images` for each text.

    `other_data` `[b, B]` marks pairs of other DATA, which are no negatives: they count only where they are right.
    `alike` `[B]` counts the texts that are right for the same images as each text; `None` where that is no matter.
    """

    texts: Tensor
    images: Tensor
    other_data: Tensor | None = None
    alike: Tensor | None = None

    def ignored(self, targets: Tensor) -> Tensor | None:
        """A mask `[b, B]` of the answers in `texts` or `images` that do not count; `None` where all do."""
        return None if self.other_data is None else self.other_data & (targets == 0)


def positives(local: Groups, gathered: Groups, *, duplicates: str) -> Tensor:
    """Which of all pairs are right answers for each local one, as 1 and 0 in float32 `[b, B]`.

    A pair is right for itself. Where `duplicates` is `positive`, so are pairs of the same image, caption or class, as
    in UniCL (Yang et al. 2022).
    """
    same = _equal(local.slots, gathered.slots)
    if duplicates != "negative":
        same = same | _equal(local.pairs, gathered.pairs)
        same = same | _equal(local.captions, gathered.captions)
        same = same | _equal(local.classes, gathered.classes)
    return same.float()


def clip_loss(local: Features, gathered: Features, targets: Targets) -> Tensor:
    """Symmetric cross-entropy over scaled cosine similarities, the mean of both directions (CLIP, Radford et al. 2021).

    Several right answers share the target in proportion. With one right answer each this is open_clip's `ClipLoss`.
    Where `targets` count texts that are alike, those of an image's class are together one answer: a class that fills
    more of the batch is then not the likelier answer for that, and the weights learn how common it is.
    """
    image_logits = local.logit_scale * local.images @ gathered.texts.T
    if targets.alike is not None:
        image_logits = image_logits - targets.alike.log()
    text_logits = local.logit_scale * local.texts @ gathered.images.T
    image_loss = _cross_entropy(image_logits, targets.texts, targets.ignored(targets.texts))
    text_loss = _cross_entropy(text_logits, targets.images, targets.ignored(targets.images))
    return (image_loss + text_loss) / 2


def siglip_loss(local: Features, gathered: Features, targets: Targets) -> Tensor:
    """Binary cross-entropy of every image with every text, summed over texts, the mean over images (Zhai et al. 2023).

    With one right answer each this is open_clip's `SigLipLoss`.
    """
    logits = local.logit_scale * local.images @ gathered.texts.T
    if local.logit_bias is not None:
        logits = logits + local.logit_bias
    ignored = targets.ignored(targets.texts)
    weight = None if ignored is None else (~ignored).float()
    losses = functional.binary_cross_entropy_with_logits(logits, targets.texts, weight, reduction="sum")
    return losses / len(local.images)


Loss = Callable[[Features, Features, Targets], Tensor]


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of a batch, with two numbers that show whether the model tells its pairs apart; all are scalars.

    `chance` is the least loss of a model for which all pairs are alike. `spread` is the mean squared distance of the
    embeddings from their mean, for the tower where it is smaller: from 0, where all are alike, to 1.
    """

    loss: Tensor
    chance: Tensor
    spread: Tensor


LOSS_FUNCTIONS: dict[str, Loss] = {"clip": clip_loss, "siglip": siglip_loss}


@dataclass(frozen=True, slots=True)
class ContrastiveLoss:
    """The loss of a run: its name in `LOSS_FUNCTIONS`, the settings `duplicates` and `negatives`, and the processes."""

    name: str
    duplicates: str
    negatives: str
    processes: Processes

    def __call__(self, local: Features, groups: Groups, mix: CutMix | None = None) -> BatchLoss:
        """This process's part of the loss; the mean over processes is the loss of the whole batch."""
        gather = self.processes.gather
        gathered = Features(gather(local.images), gather(local.texts), local.logit_scale, local.logit_bias)
        gathered_groups = groups.map(gather)
        targets = self._targets(groups, gathered_groups, mix)
        return BatchLoss(
            loss=LOSS_FUNCTIONS[self.name](local, gathered, targets),
            chance=chance(self.name, targets),
            spread=torch.minimum(
                _spread(gathered.images, gathered_groups.pairs), _spread(gathered.texts, gathered_groups.captions)
            ),
        )

    def targets_of(self, groups: Groups, gathered: Groups) -> Targets:
        """What is right for pairs of these groups, of all that were gathered, without CutMix."""
        same = positives(groups, gathered, duplicates=self.duplicates)
        other_data = ~_equal(groups.data, gathered.data) if self.negatives == "data" else None
        alike = None
        if self.duplicates == "class":
            alike = positives(gathered, gathered, duplicates=self.duplicates).sum(dim=1)
        return Targets(same, same, other_data, alike)

    def _targets(self, groups: Groups, gathered: Groups, mix: CutMix | None) -> Targets:
        unmixed = self.targets_of(groups, gathered)
        if mix is None:
            return unmixed
        same, other_data = unmixed.texts, unmixed.other_data
        gathered_shares = self.processes.gather(mix.shares)
        gathered_mix = mix.groups.map(self.processes.gather)
        # Each image is right for its own texts by its share, and by the rest for those of the image that it shows too.
        shown_texts = positives(mix.groups, gathered, duplicates=self.duplicates)
        showing_images = positives(groups, gathered_mix, duplicates=self.duplicates)
        return Targets(
            texts=torch.lerp(shown_texts, same, mix.shares[:, None]),
            images=torch.lerp(showing_images, same, gathered_shares[None, :]),
            other_data=other_data,
            alike=unmixed.alike,
        )


def chance(name: str, targets: Targets) -> Tensor:
    """The least value, a scalar, of the loss of this name where all embeddings are alike.

    For `clip` it is the logarithm of the number of answers, for `siglip` the entropy of the share of right ones.
    """
    rows, columns = targets.texts.shape
    ignored = targets.ignored(targets.texts)
    count = rows * columns if ignored is None else (~ignored).sum()
    share = targets.texts.sum() / count
    alike = targets.texts.new_zeros(rows, 1), targets.texts.new_zeros(columns, 1)
    scale = targets.texts.new_ones(())
    local = Features(alike[0], alike[0], scale, torch.logit(share, eps=1e-7))
    return LOSS_FUNCTIONS[name](local, Features(alike[1], alike[1], scale, None), targets)


def _spread(embeddings: Tensor, ids: Tensor) -> Tensor:
    """The mean squared distance of embeddings `[B, D]` from their mean, or 1 where all are of one id `[B]`."""
    spread = 1 - embeddings.detach().mean(dim=0).square().sum()
    return spread.masked_fill((ids == ids[0]).all(), 1.0)


def _cross_entropy(logits: Tensor, targets: Tensor, ignored: Tensor | None) -> Tensor:
    if ignored is not None:
        # Not minus infinity: its product with a target of 0 would not be 0.
        logits = logits.masked_fill(ignored, torch.finfo(logits.dtype).min / 2)
    return functional.cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True))


def _equal(rows: Tensor, columns: Tensor) -> Tensor:
    return rows[:, None] == columns[None, :]
