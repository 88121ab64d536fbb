"""Between the starting weights and the trained ones: exact at both ends, and chosen by what was asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_data import in_memory

from clipcli.commands.train.sample import Share, Work, sample_share
from clipcli.commands.train.validation import Checks, Retrieval, ZeroShot
from clipcli.commands.train.wise_ft import Weights, mix, parse_alpha, sweep
from clipcli.data.pairs import Pair
from clipcli.errors import UsageError
from clipcli.events import Event, Mixed, result_of

START = {"w": torch.tensor([0.1, -2.0, 1e8]), "half": torch.tensor([1.0], dtype=torch.bfloat16), "n": torch.tensor(3)}
TRAINED = {"w": torch.tensor([0.3, 4.0, -7.7]), "half": torch.tensor([2.0], dtype=torch.bfloat16), "n": torch.tensor(8)}


@pytest.mark.parametrize(("alpha", "end"), [(0.0, START), (1.0, TRAINED)])
def test_the_ends_are_exact(alpha: float, end: Weights) -> None:
    mixed = mix(START, TRAINED, alpha)
    assert torch.equal(mixed["w"], end["w"])
    assert torch.equal(mixed["half"], end["half"])


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.75])
def test_between_the_ends_weights_are_interpolated(alpha: float) -> None:
    mixed = mix(START, TRAINED, alpha)
    torch.testing.assert_close(mixed["w"], (1 - alpha) * START["w"] + alpha * TRAINED["w"])
    assert mixed["half"].dtype == torch.bfloat16


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_counters_and_what_is_new_are_the_trained_ones(alpha: float) -> None:
    mixed = mix(START, {**TRAINED, "new": torch.tensor([5.0])}, alpha)
    assert list(mixed) == ["w", "half", "n", "new"]
    assert mixed["n"].dtype == torch.int64
    assert (mixed["n"].item(), mixed["new"].item()) == (8, 5.0)


def test_mixing_leaves_what_is_mixed_alone() -> None:
    start, trained = ({name: t.clone() for name, t in weights.items()} for weights in (START, TRAINED))
    mix(start, trained, 0.5)
    assert all(torch.equal(start[name], START[name]) and torch.equal(trained[name], TRAINED[name]) for name in START)


@pytest.mark.parametrize(("text", "alpha"), [("auto", None), ("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("5e-1", 0.5)])
def test_a_share_or_auto_may_be_given(text: str, alpha: float | None) -> None:
    assert parse_alpha(text) == alpha


@pytest.mark.parametrize("text", ["", "half", "1.01", "-0.1", "nan", "inf", "50%", "AUTO"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match=f"^--wise-ft {text} is neither auto nor a share from 0 to 1; give one of them$"
    ):
        parse_alpha(text)


def chosen(
    validation: Callable[[float], float | None],
    retention: Callable[[float], float | None] = lambda _: None,
    *,
    retain_drop: float = 0.01,
) -> tuple[float, list[Mixed], list[Event]]:
    """The choice of a sweep, all its mixes at the end, and the mixes that it yielded."""
    start, trained = {"alpha": torch.tensor(0.0)}, {"alpha": torch.tensor(1.0)}

    def measure(weights: Weights) -> tuple[float | None, float | None]:
        alpha = round(weights["alpha"].item(), 6)
        return validation(alpha), retention(alpha)

    told: list[Event] = []
    sweeping = sweep(start, trained, measure=measure, retain_drop=retain_drop)
    alpha, points = result_of(sweeping, show=told.append)
    return alpha, points, told


def test_mixes_are_measured_coarse_to_fine() -> None:
    alpha, points, told = chosen(lambda a: a, lambda a: 1 - a, retain_drop=0.4)
    assert alpha == 0.375
    assert [e.alpha for e in told if isinstance(e, Mixed)] == [0.0, 0.25, 0.5, 0.75, 1.0, 0.125, 0.375]
    assert [p.alpha for p in points] == [0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0]
    assert [p.validation for p in points] == [p.alpha for p in points]
    assert [p.chosen for p in points] == [p.alpha == 0.375 for p in points]


def peak(at: float) -> Callable[[float], float]:
    """Best at one mix, and worse the farther from it."""
    return lambda alpha: 1 - abs(alpha - at)


@pytest.mark.parametrize(
    ("validation", "retention", "retain_drop", "alpha"),
    [
        (peak(0.75), lambda _: 0.5, 0.0, 0.75),
        (peak(0.9), lambda _: 0.5, 0.0, 0.875),
        (peak(1.0), lambda _: 0.5, 0.0, 1.0),
        (peak(0.9), lambda a: 0.5 if a < 0.6 else 0.4, 0.05, 0.5),
        (peak(0.9), lambda a: 0.5 if a < 0.7 else 0.4, 0.05, 0.625),
        (peak(0.9), lambda a: 0.5 if a < 0.6 else 0.4, 0.15, 0.875),
        # What dips in between and comes back is allowed where it is back.
        (peak(0.7), lambda a: 0.1 if 0 < a < 0.7 else 0.5, 0.05, 0.75),
        (peak(0.7), lambda a: 0.1 if a else 0.5, 0.05, 0.0),
        # The drop is from the start, not from the best retention.
        (peak(0.75), lambda a: 0.5 if a == 0 else 0.9 if a < 0.5 else 0.49, 0.01, 0.75),
    ],
)
def test_the_best_by_validation_that_retains_enough_is_chosen(
    validation: Callable[[float], float], retention: Callable[[float], float], retain_drop: float, alpha: float
) -> None:
    made, points, _ = chosen(validation, retention, retain_drop=retain_drop)
    assert made == alpha
    assert [p.alpha for p in points if p.chosen] == [alpha]


def test_without_retention_validation_alone_decides() -> None:
    made, points, _ = chosen(peak(0.7), retain_drop=0.0)
    assert made == 0.75
    assert {p.retention for p in points} == {None}


@pytest.mark.parametrize(
    ("validation", "alpha"), [(lambda _: 0.5, 0.0), (lambda _: 0.0, 0.0), (lambda a: 0.6 if a > 0.3 else 0.1, 0.375)]
)
def test_of_equally_good_mixes_the_one_nearest_to_the_start_is_chosen(
    validation: Callable[[float], float], alpha: float
) -> None:
    assert chosen(validation)[0] == alpha


@pytest.mark.parametrize(
    ("images", "prompts", "encoded", "share"),
    [
        (500, 400, 0, Share(1.0, 1.0)),
        # A thousand at least: of the prompts first.
        (500, 1000, 0, Share(1.0, 0.5)),
        (0, 4000, 0, Share(1.0, 0.25)),
        # Of 28,000 with their gradients a quarter is 21,000, over seven mixes 3,000.
        (2000, 4000, 28_000, Share(1.0, 0.25)),
        (8000, 0, 28_000, Share(0.375, 1.0)),
        # A tenth of the prompts, and then images.
        (4000, 10_000, 28_000, Share(0.5, 0.1)),
        # Whatever that costs: 500 images, as fewer tell nothing apart.
        (4000, 30_000, 28_000, Share(0.125, 0.1)),
        (300, 30_000, 0, Share(1.0, 0.1)),
    ],
)
def test_the_mixes_take_a_quarter_of_training(images: int, prompts: int, encoded: int, share: Share) -> None:
    assert sample_share(Work(images, prompts), encoded=encoded, times=7) == share


def test_images_that_are_known_are_no_work() -> None:
    zero_shot = ZeroShot((in_memory("a"),) * 5, (0,) * 5, (("a", "b"), ("c",)))
    pairs = Retrieval((Pair(in_memory("a"), ("a", "b")), Pair(in_memory("b"), ("c",), "c")), "clip", 2, "positive")
    checks = Checks(zero_shot, pairs, zero_shot)
    assert checks.work(images_known=False) == Work(5 + 2 + 3 + 5, 6)
    assert checks.work(images_known=True) == Work(3, 6)
    assert [len(some.items) for some in (zero_shot.sample(Share(1.0, 0.1)), zero_shot.sample(Share(0.6, 1.0)))] == [
        5,
        3,
    ]


def test_each_data_keeps_500_images_and_all_that_are_known() -> None:
    zero_shot = ZeroShot((in_memory("a"),) * 800, (0,) * 800, (("a",),))
    pairs = Retrieval(tuple(Pair(in_memory("a"), ("a", "b")) for _ in range(2000)), "clip", 2, "positive")
    checks = Checks(zero_shot, pairs, zero_shot)
    for known, counts in ((True, [800, 500, 800]), (False, [500, 500, 500])):
        some = checks.sample(Share(0.01, 1.0), images_known=known)
        assert [len(list(check.examples())) for check in (some.zero_shot, some.val, some.retain) if check] == counts


def test_a_sample_is_spread_over_images_and_prompts() -> None:
    items = tuple(in_memory(str(n)) for n in range(9))
    data = ZeroShot(items, tuple(n % 3 for n in range(9)), (("a", "b", "c", "d"),) * 3)
    sample = data.sample(Share(0.34, 0.25))
    assert [item.id for item in sample.items] == ["0", "4", "8"]
    assert sample.truth == (0, 1, 2)
    assert sample.prompts == (("a",),) * 3
