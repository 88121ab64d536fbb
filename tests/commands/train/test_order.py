"""The stream of batches: every pair once an epoch, in shares that were asked for, a function of seed and step."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.commands.train.order import Draw, Order, Part, parts_of
from clipcli.errors import UsageError

SETTINGS = settings(max_examples=60, deadline=None)
PARTS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 20)), min_size=1, max_size=3)


def order_of(sizes_and_places: list[tuple[int, int]], *, seed: int = 0) -> Order:
    """Parts one after the other."""
    starts = [sum(size for size, _ in sizes_and_places[:n]) for n in range(len(sizes_and_places))]
    parts = [Part(start, size, places) for start, (size, places) in zip(starts, sizes_and_places, strict=True)]
    return Order(tuple(parts), seed)


def draws_of(order: Order, part: Part, *, steps: int) -> list[Draw]:
    """The draws from a part in the first steps."""
    draws = chain.from_iterable(order.batch(step) for step in range(steps))
    return [draw for draw in draws if part.start <= draw.pair < part.start + part.size]


@SETTINGS
@given(sizes_and_places=PARTS, seed=st.integers(0, 2**64))
def test_every_pair_of_a_part_is_seen_once_an_epoch(sizes_and_places: list[tuple[int, int]], seed: int) -> None:
    order = order_of(sizes_and_places, seed=seed)
    steps = max(2 * part.size // part.places + 2 for part in order.parts)
    for part in order.parts:
        draws = draws_of(order, part, steps=steps)
        assert len(draws) == steps * part.places
        whole, rest = divmod(len(draws), part.size)
        epochs = [[draw.pair for draw in draws if draw.epoch == epoch] for epoch in range(whole + 1)]
        every = list(range(part.start, part.start + part.size))
        assert [sorted(epoch) for epoch in epochs[:whole]] == [every] * whole
        assert len(set(epochs[whole])) == len(epochs[whole]) == rest


@SETTINGS
@given(sizes_and_places=PARTS, steps=st.integers(1, 20))
def test_every_batch_holds_the_places_of_each_part(sizes_and_places: list[tuple[int, int]], steps: int) -> None:
    order = order_of(sizes_and_places)
    for step in range(steps):
        batch = order.batch(step)
        counts = [sum(part.start <= d.pair < part.start + part.size for d in batch) for part in order.parts]
        assert counts == [part.places for part in order.parts]


def test_epochs_do_not_end_with_a_short_batch() -> None:
    order = order_of([(10, 4)])
    assert [[draw.epoch for draw in order.batch(step)] for step in range(5)] == [
        *([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]),
        *([1, 1, 1, 1], [1, 1, 1, 1]),
    ]


def test_a_batch_may_hold_a_small_part_several_times() -> None:
    order = order_of([(100, 3), (2, 5)])
    small = [draw for draw in order.batch(0) if draw.pair >= 100]
    assert Counter((draw.pair, draw.epoch) for draw in small).most_common(1)[0][1] == 1
    assert sorted(draw.epoch for draw in small) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("parts", [[(40, 8)], [(40, 6), (20, 2)]])
def test_a_batch_is_a_function_of_seed_and_step(parts: list[tuple[int, int]]) -> None:
    forwards = [order_of(parts).batch(step) for step in range(12)]
    other = order_of(parts)
    assert [other.batch(step) for step in reversed(range(12))] == forwards[::-1]
    assert order_of(parts, seed=0).batch(7) == forwards[7]


@pytest.mark.parametrize("parts", [[(40, 8)], [(40, 6), (20, 2)]])
def test_other_seeds_steps_and_epochs_give_another_order(parts: list[tuple[int, int]]) -> None:
    batches = [[d.pair for d in order_of(parts, seed=seed).batch(step)] for seed in range(5) for step in (0, 5, 10, 15)]
    assert len({tuple(batch) for batch in batches}) == len(batches)


def test_parts_are_mixed_within_a_batch_and_each_time_otherwise() -> None:
    order = order_of([(40, 8), (40, 8)])
    places = [tuple(draw.pair < 40 for draw in order.batch(step)) for step in range(10)]
    assert len(set(places)) == 10


@pytest.mark.parametrize(
    ("sizes", "shares", "batch_size", "parts"),
    [
        ([10], [None], 4, [(0, 10, 4)]),
        ([10, 20], [None, None], 8, [(0, 30, 8)]),
        ([10], [0.3], 4, [(0, 10, 4)]),
        ([10, 20], [None, 0.25], 8, [(0, 10, 6), (10, 20, 2)]),
        ([10, 5, 20], [None, None, 0.25], 8, [(0, 15, 6), (15, 20, 2)]),
        ([10, 20], [0.5, 0.5], 7, [(0, 10, 4), (10, 20, 3)]),
        ([10, 20], [3, 1], 8, [(0, 10, 6), (10, 20, 2)]),
        ([10, 20], [0.2, 0.2], 8, [(0, 10, 4), (10, 20, 4)]),
        ([10, 20, 30], [None, 0.1, 0.2], 10, [(0, 10, 7), (10, 20, 1), (30, 30, 2)]),
        ([10, 20, 30], [None, 0.1, 0.2], 64, [(0, 10, 45), (10, 20, 6), (30, 30, 13)]),
        ([1, 1, 1], [1, 1, 1], 4, [(0, 1, 2), (1, 1, 1), (2, 1, 1)]),
        ([10, 20, 30], [0.6, 0.2, 0.2], 4, [(0, 10, 2), (10, 20, 1), (30, 30, 1)]),
    ],
)
def test_shares_become_places(
    sizes: list[int], shares: list[float | None], batch_size: int, parts: list[tuple[int, int, int]]
) -> None:
    assert parts_of(sizes, shares, batch_size=batch_size) == tuple(Part(*part) for part in parts)


@SETTINGS
@given(
    shares=st.lists(st.floats(0.01, 10), min_size=1, max_size=5),
    free=st.booleans(),
    batch_size=st.integers(1, 5000),
)
def test_places_are_within_one_of_the_share(shares: list[float], free: bool, batch_size: int) -> None:
    if free:
        shares = [share / (sum(shares) * 1.1) for share in shares]
    sizes = [5] * (len(shares) + free)
    wanted = [1 - sum(shares), *shares] if free else [share / sum(shares) for share in shares]
    given = [None, *shares] if free else shares
    try:
        parts = parts_of(sizes, given, batch_size=batch_size)
    except UsageError:
        assert min(wanted) * batch_size < 1
        return
    assert sum(part.places for part in parts) == batch_size
    for part, share in zip(parts, wanted, strict=True):
        assert part.places >= 1
        assert abs(part.places - batch_size * share) < 1 + 1e-6


@pytest.mark.parametrize(
    ("shares", "batch_size", "says"),
    [
        ([None, 1.0], 8, "the shares of DATA add up to 1, which leaves nothing for the rest; give less than 1"),
        ([None, 0.7, 0.5], 8, "the shares of DATA add up to 1.2, which leaves nothing for the rest"),
        (
            [None, 0.05],
            8,
            "a share of DATA, .* is less than one pair in a batch of 8; give other shares",
        ),
        ([9, 0.1], 8, "a share of DATA, or what the shares leave to the rest, is less than one pair in a batch of 8"),
        ([1, 1], 1, "a share of DATA, or what the shares leave to the rest, is less than one pair in a batch of 1"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares: list[float | None], batch_size: int, says: str) -> None:
    with pytest.raises(UsageError, match=f"^{says}"):
        parts_of([5] * len(shares), shares, batch_size=batch_size)


def test_random_numbers_are_a_function_of_seed_pair_and_epoch() -> None:
    numbers = {
        (seed, pair, epoch): order_of([(9, 3)], seed=seed).rng_for_draw(Draw(pair, epoch)).random(3).tolist()
        for seed in (0, 1)
        for pair in (0, 1, 2)
        for epoch in (0, 1, 2)
    }
    for (seed, pair, epoch), drawn in numbers.items():
        assert order_of([(50, 7)], seed=seed).rng_for_draw(Draw(pair, epoch)).random(3).tolist() == drawn
    assert len({tuple(drawn) for drawn in numbers.values()}) == len(numbers)
