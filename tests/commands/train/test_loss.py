"""The losses are open_clip's on the same embeddings, and know which pairs are right answers for each other."""

from __future__ import annotations

import math

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor
from torch.nn import functional

from clipcli.commands.train.loss import (
    LOSS_FUNCTIONS,
    ContrastiveLoss,
    Features,
    Groups,
    Targets,
    clip_loss,
    positives,
    siglip_loss,
)
from clipcli.commands.train.processes import Processes


def features(count: int, *, bias: float | None = None, seed: int = 0) -> Features:
    """Random embeddings of so many pairs, all of which want a gradient."""
    generator = torch.Generator().manual_seed(seed)
    images, texts = torch.randn(2, count, 8, generator=generator)
    return Features(
        images=functional.normalize(images, dim=-1).requires_grad_(),
        texts=functional.normalize(texts, dim=-1).requires_grad_(),
        logit_scale=torch.tensor(14.3, requires_grad=True),
        logit_bias=None if bias is None else torch.tensor(bias, requires_grad=True),
    )


def groups(
    *,
    captions: list[int],
    classes: list[int] | None = None,
    pairs: list[int] | None = None,
    data: list[int] | None = None,
) -> Groups:
    """Groups of pairs that have these captions and classes."""
    slots = torch.arange(len(captions))
    return Groups(
        slots=slots,
        pairs=slots if pairs is None else torch.tensor(pairs),
        captions=torch.tensor(captions),
        classes=-1 - slots if classes is None else torch.tensor(classes),
        data=torch.zeros_like(slots) if data is None else torch.tensor(data),
    )


def contrast(name: str, *, duplicates: str = "positive", negatives: str = "all") -> ContrastiveLoss:
    return ContrastiveLoss(name, duplicates, negatives, Processes())


def only_itself(count: int) -> Targets:
    return Targets(torch.eye(count), torch.eye(count))


@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_clip_loss_is_open_clips(count: int) -> None:
    made = features(count)
    expected = ClipLoss()(made.images, made.texts, made.logit_scale)
    assert torch.allclose(clip_loss(made, made, only_itself(count)), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_siglip_loss_is_open_clips(count: int) -> None:
    made = features(count, bias=-10.0)
    expected = SigLipLoss()(made.images, made.texts, made.logit_scale, made.logit_bias)
    assert torch.allclose(siglip_loss(made, made, only_itself(count)), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("name", "theirs"), [("clip", ClipLoss()), ("siglip", SigLipLoss())])
def test_gradients_are_open_clips(name: str, theirs: torch.nn.Module) -> None:
    bias = -10.0 if name == "siglip" else None
    ours, other = features(9, bias=bias), features(9, bias=bias)
    contrast(name, duplicates="negative")(ours, groups(captions=[0] * 9)).loss.backward()
    extra = [other.logit_bias] if bias is not None else []
    theirs(other.images, other.texts, other.logit_scale, *extra).backward()
    for name in ("images", "texts", "logit_scale"):
        assert torch.allclose(getattr(ours, name).grad, getattr(other, name).grad, atol=1e-6)


@pytest.mark.parametrize("name", LOSS_FUNCTIONS)
def test_without_duplicates_both_settings_agree(name: str) -> None:
    made, alone = features(6, bias=-10.0), groups(captions=[0, 1, 2, 3, 4, 5])
    losses = [contrast(name, duplicates=duplicates)(made, alone).loss for duplicates in ("positive", "negative")]
    assert torch.equal(*losses)


def test_a_batch_of_one_caption_has_nothing_to_tell_apart() -> None:
    """With every pair right for every other, equal similarities are the best answer."""
    made = features(4)
    same = Features(made.images, made.texts[:1].expand(4, -1), made.logit_scale, None)
    loss = contrast("clip")(same, groups(captions=[5] * 4)).loss
    to_texts = torch.log(torch.tensor(4.0))
    logits = made.logit_scale * same.texts @ made.images.T
    to_images = functional.cross_entropy(logits, torch.full((4, 4), 0.25))
    assert torch.allclose(loss, (to_texts + to_images) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("which", "right"),
    [
        (groups(captions=[7, 8, 7]), [[1, 0, 1], [0, 1, 0], [1, 0, 1]]),
        (groups(captions=[1, 2, 3], classes=[-1, 4, 4]), [[1, 0, 0], [0, 1, 1], [0, 1, 1]]),
        (groups(captions=[1, 2, 3], pairs=[9, 9, 8]), [[1, 1, 0], [1, 1, 0], [0, 0, 1]]),
    ],
    ids=["caption", "class", "image"],
)
def test_what_belongs_together_is_right(which: Groups, right: list[list[int]]) -> None:
    assert positives(which, which, duplicates="positive").int().tolist() == right
    assert torch.equal(positives(which, which, duplicates="negative"), torch.eye(3))


def test_duplicates_as_negatives_push_a_right_answer_away() -> None:
    made, same = features(3), groups(captions=[7, 7, 1])
    grads: dict[str, Tensor] = {}
    for duplicates in ("positive", "negative"):
        [grads[duplicates]] = torch.autograd.grad(
            contrast("clip", duplicates=duplicates)(made, same).loss, [made.images]
        )
    towards = made.texts[1]
    assert (grads["positive"][0] @ towards) < (grads["negative"][0] @ towards)


MIXED = groups(captions=[0, 1, 2, 3, 4, 5], classes=[-1, 7, 8, 7, -5, -6], data=[0, 1, 1, 1, 0, 2])


@pytest.mark.parametrize("name", LOSS_FUNCTIONS)
def test_negatives_of_the_same_data_make_a_loss_of_each_data(name: str) -> None:
    """The sum of the losses of each DATA alone, weighted by its share of the pairs."""
    made = features(6, bias=-10.0)
    total = torch.tensor(0.0)
    for rows in ([0, 4], [1, 2, 3], [5]):
        alone = Features(made.images[rows], made.texts[rows], made.logit_scale, made.logit_bias)
        total = total + contrast(name)(alone, MIXED.select(torch.tensor(rows))).loss * len(rows) / 6
    loss = contrast(name, negatives="data")(made, MIXED).loss
    assert torch.allclose(loss, total, atol=1e-6)
    wanted = [made.images, made.texts, made.logit_scale]
    for grad, right in zip(torch.autograd.grad(loss, wanted), torch.autograd.grad(total, wanted), strict=True):
        assert torch.allclose(grad, right, atol=1e-6)


@pytest.mark.parametrize("name", LOSS_FUNCTIONS)
def test_a_right_answer_of_other_data_counts(name: str) -> None:
    """A caption that stands in two DATA is right for both images; the rest of either DATA is nothing to the other."""
    made = features(4, bias=-10.0)
    which = groups(captions=[0, 9, 9, 3], data=[0, 0, 1, 1])
    [grads] = torch.autograd.grad(contrast(name, negatives="data")(made, which).loss, [made.texts])
    logits = made.logit_scale * made.images @ made.texts.T
    # The first image's own DATA has texts 0 and 1; those of the second are 0, 1 and, right as well, 2.
    asked = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]).bool()
    right = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    if name == "clip":
        target = right / right.sum(dim=1, keepdim=True)
        expected = torch.zeros(())
        for scores in (logits, logits.T):
            for n in range(4):
                chances = scores[n, asked[n]].log_softmax(dim=0)
                expected = expected - (target[n, asked[n]] * chances).sum() / 8
    else:
        chances = (logits + made.logit_bias).sigmoid()
        each = -(right * chances.log() + (1 - right) * (1 - chances).log())
        expected = each[asked].sum() / 4
    assert torch.allclose(grads, torch.autograd.grad(expected, [made.texts])[0], atol=1e-5)


def test_a_class_is_one_answer_however_many_of_the_batch_are_of_it() -> None:
    """Where all is alike the loss of an image is that of as many answers as there are classes, not of pairs."""
    groups = Groups(torch.arange(4), torch.arange(4), torch.arange(4), torch.tensor([0, 0, 0, 1]), torch.zeros(4))
    alike = Features(torch.ones(4, 1), torch.ones(4, 1), torch.tensor(1.0), None)
    loss = ContrastiveLoss("clip", "class", "all", Processes())(alike, groups).loss
    # Of an image of the class of three the targets are a third each, of 1/3 of a half; a text has one of four images.
    images = (3 * (math.log(2) + math.log(3)) + math.log(2)) / 4
    assert loss.item() == pytest.approx((images + math.log(4)) / 2)
    plain = ContrastiveLoss("clip", "positive", "all", Processes())(alike, groups).loss
    assert plain.item() == pytest.approx(math.log(4))
