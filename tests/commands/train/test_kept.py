"""What a run keeps is said in one sentence, with the figures of the start, and never called better than it is."""

from __future__ import annotations

import math

import pytest

from clipcli.commands.train.kept import best_so_far, is_better, keep_mix, keep_start, keep_step, start_is_best, verdict

START = {"zero_shot_top1": 0.31}
BETTER = {"zero_shot_top1": 0.734}
WORSE = {"zero_shot_top1": 0.25}


def pairs(recall: float, loss: float) -> dict[str, float]:
    """Metrics of a validation on pairs."""
    return {"val_loss": loss, "image_to_text_recall@1": recall, "text_to_image_recall@1": recall}


@pytest.mark.parametrize(
    ("trained", "start_is_kept"),
    [
        (pairs(0.6, 1.5), False),
        (pairs(0.5, 1.3), False),
        # The same recall with a higher loss, and nothing gained at all.
        (pairs(0.5, 1.532), True),
        (pairs(0.5, 1.458), True),
        (pairs(0.4, 1.0), True),
        (pairs(0.5, math.nan), True),
    ],
)
def test_the_start_counts_as_a_step(trained: dict[str, float], start_is_kept: bool) -> None:
    start = pairs(0.5, 1.458)
    assert start_is_best(start, trained) is start_is_kept
    assert is_better(trained, start) is not start_is_kept


def test_without_validation_the_start_is_not_the_best() -> None:
    assert not start_is_best({}, {})
    assert not start_is_best({"retain_top1": 0.5}, {"retain_top1": 0.4})


def test_a_step_is_kept_for_its_figures() -> None:
    kept = keep_step(20, steps=40, metrics=BETTER, start=START, best=20)
    assert kept.sentence == "Kept: step 20 of 40, the best by zero-shot top-1: 73.4%; the start had 31.0%."
    assert (kept.step, kept.worse) == (20, False)
    kept = keep_step(20, steps=40, metrics=pairs(0.6, 1.532), start=pairs(0.5, 1.458), best=20)
    assert kept.sentence == (
        "Kept: step 20 of 40, the best by recall@1 (mean of both ways): 60.0% (loss 1.532); "
        "the start had 50.0% (loss 1.458), with a lower loss."
    )


def test_without_validation_the_last_step_is_kept() -> None:
    kept = keep_step(40, steps=40, metrics={}, start={}, best=None)
    assert kept.sentence == "Kept: step 40, the last; without --val or --zero-shot no other is measured."
    assert (kept.step, kept.worse) == (40, False)


def test_where_the_best_checkpoint_is_gone_the_last_step_is_kept() -> None:
    kept = keep_step(40, steps=40, metrics=BETTER, start=START, best=20)
    assert kept.sentence.startswith("Kept: step 40, the last, as the checkpoint of the best, 20, is gone; zero-shot")


def test_a_start_that_is_kept_is_bad_news() -> None:
    kept = keep_start(start=START, step=20, trained=WORSE)
    assert kept.sentence == (
        "Training made nothing better: kept is the start, with 31.0% by zero-shot top-1; step 20 had 25.0%."
    )
    assert (kept.step, kept.worse) == (0, True)


@pytest.mark.parametrize(
    ("alpha", "chosen", "metrics", "sentence", "worse"),
    [
        (
            0.5,
            False,
            BETTER,
            "Kept: 50% of step 20 mixed into the start, as --wise-ft asks; zero-shot top-1: 73.4%;",
            False,
        ),
        (0.5, False, WORSE, "Worse than the start, but kept: 50% of step 20 mixed into the start, as --wise-ft", True),
        (0.5, False, {}, "Kept: 50% of step 20 mixed into the start, as --wise-ft asks; without --val or", False),
        (
            0.4,
            True,
            BETTER,
            "Kept: 40% of step 20 mixed into the start, the best mix by zero-shot top-1: 73.4%;",
            False,
        ),
        (
            0,
            True,
            START,
            "--wise-ft auto keeps the start: no mix with step 20 was better, by zero-shot top-1: 31.0%.",
            True,
        ),
        (0, False, START, "Kept: the start, as --wise-ft 0 asks, by zero-shot top-1: 31.0%.", False),
    ],
)
def test_a_mix_is_compared_with_the_start(
    alpha: float, chosen: bool, metrics: dict[str, float], worse: bool, sentence: str
) -> None:
    kept = keep_mix(alpha, 20, chosen=chosen, metrics=metrics, start=START)
    assert kept.sentence.startswith(sentence)
    assert (kept.step, kept.worse) == (0 if alpha == 0 else None, worse)


def test_the_best_step_so_far() -> None:
    assert best_so_far(None, metrics={}, start={}) == ""
    assert best_so_far(20, metrics=BETTER, start={}) == "The best so far is step 20, by zero-shot top-1: 73.4%."


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (
            {"zero_shot_top1": 0.734, "retain_top1": 0.49},
            "Gained: 42.4 points of zero-shot top-1 (31.0% to 73.4%); lost on --retain: 1.0 points (50.0% to 49.0%); "
            "use it.",
        ),
        (
            {"zero_shot_top1": 0.734, "retain_top1": 0.2},
            "Gained: 42.4 points of zero-shot top-1 (31.0% to 73.4%); lost on --retain: 30.0 points (50.0% to 20.0%); "
            "use it for images like these, and the model that it began with for others.",
        ),
        (
            {"zero_shot_top1": 0.41, "retain_top1": 0.2},
            "Gained: 10.0 points of zero-shot top-1 (31.0% to 41.0%); lost on --retain: 30.0 points (50.0% to 20.0%); "
            "do not use it: more was lost than gained; --wise-ft auto mixes it with the model that it began with.",
        ),
        (
            {"zero_shot_top1": 0.31, "retain_top1": 0.6},
            "Gained: 0.0 points of zero-shot top-1 (31.0% to 31.0%); gained, if anything, on --retain: 10.0 points "
            "(50.0% to 60.0%); do not use it: the model that it began with is as good.",
        ),
        (
            {"zero_shot_top1": 0.41},
            "Gained: 10.0 points of zero-shot top-1 (31.0% to 41.0%); what was lost elsewhere was not measured, as "
            "there is no --retain; use it.",
        ),
        ({}, ""),
    ],
)
def test_a_verdict_says_what_was_gained_and_lost_and_whether_to_use_it(end: dict[str, float], told: str) -> None:
    assert verdict(START | {"retain_top1": 0.5}, end, most_lost=0.02) == told
