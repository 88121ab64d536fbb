"""The rate over the steps, and what each weight's own rate and decay are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.backbones.towers import Towers, build_towers
from clipcli.commands.train.optimizer import make_optimizer, set_learning_rates, share_of_peak, step_optimizer
from clipcli.commands.train.settings import TrainConfig, configured

LN_100 = math.log(100)


@pytest.fixture
def towers() -> Towers:
    """New towers of a layer and few words, all of which learn."""
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    return build_towers(config, towers=(IMAGE, TEXT), dtype=torch.float32, random=True)


def config(**given: Any) -> TrainConfig:
    """Settings of ten steps."""
    return configured({"steps": 10, "warmup": 0, "lr": 0.1, "weight_decay": 0.2, "beta2": 0.9, **given})


def with_gradients(towers: Towers, value: float) -> None:
    """Give every weight this gradient."""
    for parameter in towers.parameters():
        parameter.grad = torch.full_like(parameter, value)


@pytest.mark.parametrize(
    ("warmup", "steps", "shares"),
    [
        (0, 4, [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0]),
        (4, 8, [0.25, 0.5, 0.75, 1, 1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0]),
        (1, 3, [1, 1, 0.5, 0]),
        (3, 3, [1 / 3, 2 / 3, 1, 1]),
        (0, 1, [1, 0]),
        (5, 2, [0.2, 0.4]),
    ],
)
def test_the_share_of_the_peak_step_by_step(warmup: int, steps: int, shares: list[float]) -> None:
    made = [share_of_peak(step, warmup=warmup, steps=steps) for step in range(len(shares))]
    assert made == pytest.approx(shares, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(warmup=st.integers(0, 50), rest=st.integers(1, 300))
def test_the_rate_rises_evenly_to_its_peak_and_then_only_falls(warmup: int, rest: int) -> None:
    steps = warmup + rest
    shares = [share_of_peak(step, warmup=warmup, steps=steps) for step in range(steps)]
    assert shares[:warmup] == pytest.approx([(n + 1) / warmup for n in range(warmup)])
    assert shares[warmup] == 1
    decay = shares[warmup:]
    assert all(after < before for before, after in pairwise(decay))
    assert 0 < decay[-1] <= 1
    # Symmetric about the middle, as half a cosine is.
    assert [a + b for a, b in zip(decay[1:], decay[:0:-1], strict=True)] == pytest.approx([1] * (rest - 1))
    assert share_of_peak(steps, warmup=warmup, steps=steps) == pytest.approx(0, abs=1e-12)


def test_every_weight_that_learns_is_there_once(towers: Towers) -> None:
    towers.visual.requires_grad_(False)
    learned = [p for group in make_optimizer(towers, config()).param_groups for p in group["params"]]
    assert len(learned) == len({id(p) for p in learned})
    expected = {id(p) for name, p in towers.named_parameters() if not name.startswith("visual.")}
    assert {id(p) for p in learned} == expected


def test_only_matrices_decay(towers: Towers) -> None:
    groups = make_optimizer(towers, config()).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in towers.named_parameters():
        plain = name.endswith("bias") or ".ln_" in name or name in ("logit_scale", "visual.class_embedding")
        assert decays[id(parameter)] == (0 if plain else 0.2), name
    assert set(decays.values()) == {0, 0.2}


@pytest.mark.parametrize(
    ("given", "image", "text", "rest"),
    [
        ({}, 0.1, 0.1, 0.1),
        ({"image_lr": 0.5}, 0.5, 0.1, 0.1),
        ({"text_lr": 0.5}, 0.1, 0.5, 0.1),
        ({"image_lr": 0.0, "text_lr": 0.3}, 0.0, 0.3, 0.1),
        ({"lr": 0.0, "text_lr": 0.3}, 0.0, 0.3, 0.0),
    ],
)
def test_each_tower_has_its_own_rate(
    towers: Towers, given: dict[str, float], image: float, text: float, rest: float
) -> None:
    settings = config(**given, warmup=4)
    optimizer = make_optimizer(towers, settings)
    peaks = {"visual": image, "text": text, "logit_scale": rest}
    for step, share in ((0, 0.25), (3, 1.0), (4, 1.0), (7, 0.5)):
        assert set_learning_rates(optimizer, step, settings) == pytest.approx(share)
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        for name, parameter in towers.named_parameters():
            assert rates[id(parameter)] == pytest.approx(peaks[name.split(".")[0]] * share), name


@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.98])
def test_the_second_beta_is_the_one_that_was_given(towers: Towers, beta2: float) -> None:
    optimizer = make_optimizer(towers, config(beta2=beta2))
    assert [group["betas"] for group in optimizer.param_groups] == [(0.9, beta2)] * len(optimizer.param_groups)


def test_the_temperature_and_gains_keep_their_values_where_matrices_decay(towers: Towers) -> None:
    settings = config(grad_clip_norm=0)
    before = {name: p.detach().clone() for name, p in towers.named_parameters()}
    optimizer = make_optimizer(towers, settings)
    set_learning_rates(optimizer, 0, settings)
    with_gradients(towers, 0)
    step_optimizer(optimizer, towers, clip=0)
    for name, parameter in towers.named_parameters():
        # lr 0.1 times weight decay 0.2.
        factor = 0.98 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


@pytest.mark.parametrize(("start", "end"), [(10.0, LN_100), (LN_100 + 1e-3, LN_100), (3.0, 3.0), (-0.5, 0.0)])
def test_the_temperature_stays_within_its_bounds(towers: Towers, start: float, end: float) -> None:
    with torch.no_grad():
        towers.logit_scale.fill_(start)
    settings = config(lr=0)
    optimizer = make_optimizer(towers, settings)
    set_learning_rates(optimizer, 0, settings)
    with_gradients(towers, 1)
    step_optimizer(optimizer, towers, clip=1)
    assert towers.logit_scale.item() == pytest.approx(end)


@pytest.mark.parametrize(("clip", "share"), [(0.0, 1.0), (0.5, 0.125), (1.0, 0.25), (4.5, 1.0)])
def test_the_gradient_is_clipped_and_its_norm_before_told(towers: Towers, clip: float, share: float) -> None:
    with_gradients(towers, 0)
    image, text = towers.visual.proj, towers.text.positional_embedding
    image.grad[1, 2], text.grad[3, 4] = 2.4, 3.2
    before = image[1, 2].item(), text[3, 4].item()
    # Plain descent at a rate of 1: the change is the gradient.
    descent = torch.optim.SGD([{"params": [image]}, {"params": [text, towers.logit_scale]}], lr=1.0)
    assert step_optimizer(descent, towers, clip=clip).item() == pytest.approx(4)
    assert before[0] - image[1, 2].item() == pytest.approx(2.4 * share, rel=1e-5)
    assert before[1] - text[3, 4].item() == pytest.approx(3.2 * share, rel=1e-5)
    assert image.grad is text.grad is None
