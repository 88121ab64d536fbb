"""CutMix and TrivialAugment: what is cut is filled with another image, and the captions of both count by its size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from clipcli.commands.train.cutmix import cutmix
from clipcli.commands.train.loss import ContrastiveLoss, CutMix, Features, Groups
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.trivial import CHANGES, trivial_augment

COUNT, HEIGHT, WIDTH = 40, 12, 18


def numbered(height: int = HEIGHT, width: int = WIDTH) -> tuple[torch.Tensor, Groups]:
    """Images that show nothing but their number, each of a class of its own."""
    slots = torch.arange(COUNT)
    pixels = slots.to(torch.uint8)[:, None, None, None].expand(-1, height, width, 3).contiguous()
    return pixels, Groups(slots, 100 + slots, 200 + slots, 300 + slots, slots % 2)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_what_is_cut_is_the_other_image_and_its_share_is_what_it_shows(probability: float) -> None:
    pixels, groups = numbered()
    mix = cutmix(pixels, groups, probability=probability, rng=np.random.default_rng(3))
    shown = pixels[..., 0]
    own = shown == torch.arange(COUNT)[:, None, None]
    others = mix.groups.slots
    assert torch.equal(mix.groups.classes, 300 + others)
    assert (own | (shown == others[:, None, None])).all()
    alone = others == torch.arange(COUNT)
    assert torch.allclose(own.float().mean(dim=(1, 2))[~alone], mix.shares[~alone])
    assert (mix.shares > 0).all()
    cut = int((mix.shares < 1).sum())
    assert cut == 0 if probability == 0 else COUNT * probability / 2 < cut
    assert cut < COUNT * 0.8 or probability == 1


def test_shares_are_as_evenly_spread_as_the_paper_draws_them() -> None:
    shares = []
    for seed in range(60):
        pixels, groups = numbered(200, 300)
        shares += cutmix(pixels, groups, probability=1, rng=np.random.default_rng(seed)).shares.tolist()
    # A side s of a box, its centre anywhere, has s - s²/4 of it inside on average.
    sides = np.sqrt(np.linspace(0, 1, 10_001))
    inside = np.mean((sides - sides**2 / 4) ** 2)
    assert math.isclose(np.mean(shares), 1 - inside, abs_tol=0.02)


@pytest.mark.parametrize("negatives", ["all", "data"])
@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_the_loss_counts_both_captions_by_their_share(name: str, negatives: str) -> None:
    """Against a plain loop over images and texts."""
    count = 6
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.nn.functional.normalize(torch.randn(2, count, 8, generator=generator), dim=-1)
    made = Features(images, texts, torch.tensor(9.0), torch.tensor(-3.0))
    slots, classes, data = torch.arange(count), torch.tensor([0, 1, 0, 2, 3, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    groups = Groups(slots, slots, slots, classes, data)
    others, shares = torch.tensor([3, 2, 1, 5, 4, 0]), torch.tensor([0.3, 1.0, 0.6, 0.5, 0.2, 0.9])
    right, asked = torch.zeros(count, count), torch.ones(count, count)
    for i in range(count):
        for j in range(count):
            right[i, j] = shares[i] * (classes[i] == classes[j]) + (1 - shares[i]) * (classes[others[i]] == classes[j])
            asked[i, j] = negatives == "all" or right[i, j] > 0 or data[i] == data[j]
    logits = 9 * images @ texts.T
    if name == "clip":
        rows, columns = right / right.sum(dim=1, keepdim=True), right / right.sum(dim=0, keepdim=True)
        likely = logits.exp() * asked
        there = -(rows * (logits - likely.sum(dim=1, keepdim=True).log())).sum(dim=1).mean()
        back = -(columns * (logits - likely.sum(dim=0, keepdim=True).log())).sum(dim=0).mean()
        expected = (there + back) / 2
    else:
        chances = (logits - 3).sigmoid()
        expected = -(asked * (right * chances.log() + (1 - right) * (1 - chances).log())).sum() / count
    loss = ContrastiveLoss(name, "positive", negatives, Processes())(
        made, groups, CutMix(groups.select(others), shares)
    )
    assert torch.allclose(loss.loss, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_mix_that_cuts_nothing_changes_no_loss(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.nn.functional.normalize(torch.randn(2, COUNT, 8, generator=generator), dim=-1)
    made = Features(images, texts, torch.tensor(9.0), torch.tensor(-3.0))
    pixels, groups = numbered()
    mix = cutmix(pixels, groups, probability=0, rng=np.random.default_rng(0))
    contrast = ContrastiveLoss(name, "positive", "all", Processes())
    assert torch.equal(contrast(made, groups, mix).loss, contrast(made, groups).loss)


@pytest.mark.parametrize("change", range(len(CHANGES)))
@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.0, 1.0])
def test_every_change_gives_an_image_of_the_same_size(change: int, strength: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    made = CHANGES[change](Image.fromarray(noise), strength)
    assert (made.mode, made.size) == ("RGB", (30, 20))


def test_all_changes_are_drawn_and_the_same_ones_again() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))

    def looks() -> list[bytes]:
        rng = np.random.default_rng(1)
        return [trivial_augment(noise, rng=rng).tobytes() for _ in range(100)]

    assert looks() == looks()
    assert len(set(looks())) > 60
    assert noise.tobytes() in looks()
