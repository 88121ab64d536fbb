"""Between the starting weights and the trained ones: exact at both ends, and chosen by what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import pytest
import torch

from clipcli.commands.train.wise_ft import Weights, mix, parse_alpha, sweep
from clipcli.errors import UsageError
from clipcli.events import Event, Mixed, result_of

ALPHAS = [n / 10 for n in range(11)]
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

    def measure(weights: Weights) -> Generator[Event, None, tuple[float | None, float | None]]:
        yield from ()
        alpha = round(weights["alpha"].item(), 6)
        return validation(alpha), retention(alpha)

    told: list[Event] = []
    alpha, points = result_of(sweep(start, trained, measure=measure, retain_drop=retain_drop), show=told.append)
    return alpha, points, told


def at(values: Sequence[float]) -> Callable[[float], float]:
    """These values at the eleven mixes."""
    return lambda alpha: values[round(10 * alpha)]


def test_all_eleven_mixes_are_measured_and_told_in_order() -> None:
    alpha, points, told = chosen(lambda a: a, lambda a: 1 - a, retain_drop=0.35)
    assert alpha == 0.3
    assert [p.alpha for p in points] == ALPHAS
    assert [p.validation for p in points] == pytest.approx(ALPHAS)
    assert [p.retention for p in points] == pytest.approx(ALPHAS[::-1])
    assert [p.chosen for p in points] == [a == 0.3 for a in ALPHAS]
    assert [(e.alpha, e.chosen) for e in told if isinstance(e, Mixed)] == [(a, False) for a in ALPHAS]


LATE_BEST = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 0.8, 0.7, 0.6]


@pytest.mark.parametrize(
    ("validation", "retention", "retain_drop", "alpha"),
    [
        (LATE_BEST, [0.5] * 11, 0.0, 0.7),
        (LATE_BEST, [0.5] * 7 + [0.4] * 4, 0.05, 0.6),
        (LATE_BEST, [0.5] * 7 + [0.4] * 4, 0.15, 0.7),
        # What dips in between and comes back is allowed where it is back.
        (LATE_BEST, [0.5] + [0.1] * 6 + [0.5] * 4, 0.05, 0.7),
        (LATE_BEST, [0.5] + [0.1] * 10, 0.05, 0.0),
        (LATE_BEST, [0.5] + [0.1] * 10, 1.0, 0.7),
        # The drop is from the start, not from the best retention.
        (LATE_BEST, [0.5] + [0.9] * 5 + [0.49] * 5, 0.01, 0.7),
        (LATE_BEST, [0.5] + [0.5] * 6 + [0.75] * 4, 0.0, 0.7),
    ],
)
def test_the_best_by_validation_that_retains_enough_is_chosen(
    validation: list[float], retention: list[float], retain_drop: float, alpha: float
) -> None:
    made, points, _ = chosen(at(validation), at(retention), retain_drop=retain_drop)
    assert made == alpha
    assert [p.alpha for p in points if p.chosen] == [alpha]


def test_without_retention_validation_alone_decides() -> None:
    made, points, _ = chosen(at(LATE_BEST), retain_drop=0.0)
    assert made == 0.7
    assert {p.retention for p in points} == {None}


@pytest.mark.parametrize(
    ("validation", "alpha"),
    [([0.5] * 11, 0.0), ([0.0] * 11, 0.0), ([0.1] * 4 + [0.6] * 7, 0.4), ([0.1, 0.6] * 5 + [0.6], 0.1)],
)
def test_of_equally_good_mixes_the_one_nearest_to_the_start_is_chosen(validation: list[float], alpha: float) -> None:
    assert chosen(at(validation))[0] == alpha
