"""Settings that nobody gave are filled in by what the run is: fine-tuning or pretraining, on so many pairs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.commands.train.defaults import is_open, resolve, without_lengths
from clipcli.commands.train.settings import TrainConfig, configured
from clipcli.errors import UsageError

FINE_TUNE = {"batch_size": 128, "weight_decay": 0.1, "beta2": 0.999, "crop": 0.9, "hold_out": 0.1}
PRETRAIN = {"batch_size": 512, "weight_decay": 0.2, "beta2": 0.98, "crop": 0.5, "hold_out": 0.0}


def resolved(*, pairs: int = 1280, **settings: Any) -> TrainConfig:
    """The settings of a fine-tuning run at the rate of the field, resolved."""
    return resolve(configured({"model": "m", "lr": 1e-5, **settings}), pairs=pairs, loss="clip")


@pytest.mark.parametrize(
    ("start", "defaults", "freezes", "epochs"),
    [({"model": "m", "lr": 1e-5}, FINE_TUNE, True, 5), ({"arch": "a"}, PRETRAIN, False, 30)],
    ids=["fine-tune", "pretrain"],
)
def test_the_defaults_are_those_of_the_kind_of_run(
    start: dict[str, str], defaults: dict[str, float], freezes: bool, epochs: int
) -> None:
    common = {"prompts": "imagenet", "flip": True, "freeze_batch_norm": freezes}
    assert without_lengths(configured(start)) == TrainConfig(**start, **defaults, **common, epochs=epochs)
    lengths = {"steps": 1000 * epochs, "warmup": 100 * epochs if epochs < 20 else 2000}
    every = {"val_every": 1000, "save_every": 1000, "log_every": 10}
    made = resolve(configured(start), pairs=1000 * int(defaults["batch_size"]), loss="siglip")
    chosen: dict[str, Any] = {"lr": 1e-3, "patience": 0} if "arch" in start else {"lr": 1e-5, "patience": 3}
    chosen |= {"distill": 0.0, "loss": "siglip"}
    assert made == TrainConfig(**start | chosen, **defaults, **common, **lengths, **every)


OPEN = {"model": "m", "batch_size": 10}


@pytest.mark.parametrize(
    "more", [{}, {"lock": "image"}, {"steps": 7}, {"crop": 1.0, "flip": False}, {"weight_decay": 0.3}]
)
def test_without_a_rate_it_is_left_to_measurement(more: dict[str, Any]) -> None:
    config = configured({**OPEN, **more})
    made = resolve(config, pairs=100, loss="clip")
    assert is_open(config)
    assert is_open(made)
    assert (made.lr, made.lock, made.steps, made.patience) == (None, more.get("lock"), more.get("steps"), None)


@pytest.mark.parametrize(
    "more",
    [
        *({"lr": 1e-3}, {"image_lr": 1e-3}, {"text_lr": 1e-3}, {"lora": 4}, {"lock": "text"}, {"crop": 0.9}),
        *({"flip": True}, {"augment": "trivial"}, {"cutmix": 0.5}, {"average": 0.9}),
        {"lock": "image", "unlock_groups": 1},
    ],
)
def test_who_says_how_to_train_is_followed(more: dict[str, Any]) -> None:
    config = configured({**OPEN, **more})
    made = resolve(config, pairs=100, loss="clip")
    assert not is_open(config)
    rate = more.get("lr", 1e-4 if "lora" in more else 1e-5)
    assert (made.lr, made.lock, made.steps, made.distill) == (rate, more.get("lock"), 50, 0.0)


@pytest.mark.parametrize(
    ("given", "pairs", "steps", "patience"),
    [({}, 100, 200, 3), ({}, 1000, 1000, 3), ({"steps": 9}, 100, 9, 0), ({"epochs": 2}, 100, 20, 0)],
)
def test_beside_a_locked_image_tower_there_are_more_steps_and_images_stay_whole(
    given: dict[str, Any], pairs: int, steps: int, patience: int
) -> None:
    made = resolve(configured({**OPEN, "lr": 1e-3, "lock": "image", **given}), pairs=pairs, loss="clip")
    assert (made.steps, made.patience, made.crop, made.flip) == (steps, patience, 1.0, False)
    if not given:
        assert made.val_every == made.save_every == steps / 8


@pytest.mark.parametrize(
    ("more", "share"), [({}, 0.1), ({"val": "v"}, 0.0), ({"zero_shot": "z"}, 0.0), ({"hold_out": 0.2}, 0.2)]
)
def test_a_tenth_is_held_out_where_nothing_is_given_to_validate_on(more: dict[str, Any], share: float) -> None:
    assert resolved(**more).hold_out == share


@pytest.mark.parametrize(("batch_size", "lr"), [(512, 1e-3), (32_768, 1e-3), (128, 5e-4), (2, 6.25e-5)])
def test_small_batches_learn_at_a_smaller_rate(batch_size: int, lr: float) -> None:
    made = resolve(configured({"arch": "a", "batch_size": batch_size}), pairs=100_000, loss="clip")
    assert made.lr == pytest.approx(lr)


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^a batch of one pair has nothing to tell apart; give more DATA$"):
        resolved(pairs=1)


def test_what_was_given_stays() -> None:
    given: dict[str, Any] = {"lr": 0.0, "weight_decay": 0.0, "beta2": 0.5, "crop": 1.0, "flip": False, "warmup": 0}
    given |= {"loss": "clip", "prompts": "plain", "freeze_batch_norm": False, "val_every": 3, "save_every": 4}
    made = resolve(configured({"model": "m", "steps": 10, "batch_size": 7, **given}), pairs=70, loss="siglip")
    assert {name: getattr(made, name) for name in given} == given
    assert (made.steps, made.batch_size, made.epochs) == (10, 7, None)


@pytest.mark.parametrize(("steps", "every"), [(200, 1), (201, 10)])
def test_each_step_of_a_short_run_is_logged(steps: int, every: int) -> None:
    assert resolved(steps=steps).log_every == every


def test_low_rank_changes_learn_faster() -> None:
    assert resolved(lora=8, lr=None).lr == 1e-4
    assert resolved(lora=8, lr=3e-5).lr == 3e-5


@pytest.mark.parametrize(
    ("pairs", "given", "steps", "every"),
    [
        (1280, {}, 50, 10),
        (1280, {"epochs": 3}, 30, 10),
        (1280, {"epochs": 0.25}, 2, 10),
        (1280, {"epochs": 0.001}, 1, 10),
        (1281, {"epochs": 2}, 20, 11),
        (1000, {"epochs": 3, "batch_size": 300}, 10, 4),
        (1280, {"steps": 7}, 7, 10),
        (10, {}, 5, 1),
        (10, {"batch_size": 10}, 5, 1),
        (10, {"batch_size": 2}, 25, 5),
    ],
)
def test_epochs_become_steps(pairs: int, given: dict[str, Any], steps: int, every: int) -> None:
    made = resolved(pairs=pairs, **given)
    assert (made.steps, made.val_every, made.save_every, made.epochs) == (steps, every, every, None)
    assert made.batch_size == given.get("batch_size", min(128, pairs))


@pytest.mark.parametrize(("steps", "warmup"), [(1, 1), (10, 1), (11, 2), (1000, 100), (20_000, 2000), (90_000, 2000)])
def test_a_tenth_of_the_steps_warms_up_and_no_more_than_2000(steps: int, warmup: int) -> None:
    assert resolved(steps=steps).warmup == warmup


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--batch-size 1281 is larger than the data, 1,280 pairs; give 1280 or less"):
        resolved(batch_size=1281)


def test_a_length_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^both --epochs and --steps were given"):
        resolved(epochs=1, steps=1)


@settings(max_examples=50, deadline=None)
@given(
    pairs=st.integers(2, 5000),
    length=st.one_of(
        st.just({}),
        st.fixed_dictionaries({"epochs": st.floats(0.01, 100)}),
        st.fixed_dictionaries({"steps": st.integers(1, 10_000)}),
    ),
    start=st.sampled_from(
        [
            {"model": "m"},
            {"model": "m", "lr": 1e-3},
            {"model": "m", "lr": 1e-3, "lock": "image"},
            {"arch": "a"},
            {"model": "m", "lora": 4},
        ]
    ),
    batch_size=st.one_of(st.none(), st.integers(2, 5000)),
)
def test_a_resolved_configuration_stays_as_it_is(
    pairs: int, length: dict[str, Any], start: dict[str, Any], batch_size: int | None
) -> None:
    batch_size = None if batch_size is None else min(batch_size, pairs)
    once = resolve(configured({**start, **length, "batch_size": batch_size}), pairs=pairs, loss="clip")
    assert resolve(once, pairs=pairs, loss="siglip") == once
