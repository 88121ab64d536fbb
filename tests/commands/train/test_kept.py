"""What a run keeps is said in one sentence, with the figures of the start, and never called better than it is."""

from __future__ import annotations

import math

import pytest

from clipcli.commands.train.kept import best_so_far, is_better, keep_mix, keep_start, keep_step, start_is_best

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
