"""Which weights a run leaves, and why, in the one sentence that the terminal, the report and `metrics.jsonl` share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from clipcli.commands.train.validation import headline, retention

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Kept:
    """The weights that a run leaves: those of a `step`, 0 for the start, or `None` for a mix of the start and a step.

    `worse` is true where training made the model worse, or no better, than it was at the start. `verdict` says what was
    gained and lost, and whether to use the model.
    """

    step: int | None
    sentence: str
    worse: bool
    verdict: str = ""


def is_better(metrics: Metrics, than: Metrics) -> bool:
    """True where a model is better by `headline`, or as good by it with a lower validation loss."""
    return _rank(metrics) > _rank(than)


def start_is_best(start: Metrics, trained: Metrics) -> bool:
    """True where there is a validation of the start, and the trained model is not better by it."""
    return headline(start) is not None and headline(trained) is not None and not is_better(trained, start)


def keep_step(step: int, *, steps: int, metrics: Metrics, start: Metrics, best: int | None) -> Kept:
    """Keep a step: the best by validation, or the last where there is none or its checkpoint is gone."""
    if best is None:
        return Kept(step, f"Kept: step {step:,}, the last; without --val or --zero-shot no other is measured.", False)
    if best != step:
        which = f"step {step:,}, the last, as the checkpoint of the best, {best:,}, is gone; {_name(metrics)}"
    else:
        which = f"step {step:,} of {steps:,}, the best by {_name(metrics)}"
    return _compared(step, which, metrics=metrics, start=start)


def keep_start(*, start: Metrics, step: int, trained: Metrics) -> Kept:
    """Keep the start, as the best step is not better."""
    return Kept(
        0,
        f"Training made nothing better: kept is the start, with {_figure(start)} by {_name(start)}; "
        f"step {step:,} had {_figure(trained)}.",
        True,
    )


def keep_mix(alpha: float, step: int, *, chosen: bool, metrics: Metrics, start: Metrics) -> Kept:
    """Keep a mix by `--wise-ft`: that of the share `alpha`, or with `chosen` the best of several."""
    if alpha == 0:
        figure = f", by {_name(start)}: {_figure(start)}" if headline(start) is not None else ""
        if chosen:
            return Kept(0, f"--wise-ft auto keeps the start: no mix with step {step:,} was better{figure}.", True)
        return Kept(0, f"Kept: the start, as --wise-ft 0 asks{figure}.", False)
    what = f"{alpha:.0%} of step {step:,} mixed into the start"
    if headline(metrics) is None:
        return Kept(None, f"Kept: {what}, as --wise-ft asks; without --val or --zero-shot it is not measured.", False)
    which = f"{what}, the best mix by {_name(metrics)}" if chosen else f"{what}, as --wise-ft asks; {_name(metrics)}"
    return _compared(None, which, metrics=metrics, start=start)


def verdict(start: Metrics, end: Metrics, *, most_lost: float) -> str:
    """What was gained by validation, what was lost on `--retain`, and whether to use the model, in one sentence.

    Empty without a validation. `most_lost` is what may be lost without a second thought, as a share.
    """
    before, after = headline(start), headline(end)
    if before is None or after is None:
        return ""
    gain, retained = after - before, retention(end)
    gained = f"{'Gained' if gain >= 0 else 'Lost'}: {_points(gain)} of {_name(end)} ({before:.1%} to {after:.1%})"
    known = retention(start)
    if retained is None or known is None:
        lost, costs = "what was lost elsewhere was not measured, as there is no --retain", 0.0
    else:
        costs = known - retained
        what = "lost" if costs > 0 else "gained, if anything,"
        lost = f"{what} on --retain: {_points(costs)} ({known:.1%} to {retained:.1%})"
    return f"{gained}; {lost}; {_advice(gain, costs, most_lost=most_lost)}."


def _advice(gain: float, lost: float, *, most_lost: float) -> str:
    if gain <= 0:
        return "do not use it: the model that it began with is as good"
    if lost <= most_lost:
        return "use it"
    if lost < gain:
        return "use it for images like these, and the model that it began with for others"
    return "do not use it: more was lost than gained; --wise-ft auto mixes it with the model that it began with"


def _points(share: float) -> str:
    return f"{abs(100 * share):.1f} points"


def best_so_far(step: int | None, *, metrics: Metrics, start: Metrics) -> str:
    """The best step of a run that has not ended, in a sentence; empty without validations."""
    if step is None or headline(metrics) is None:
        return ""
    if start_is_best(start, metrics):
        return (
            f"So far no step is better than the start, by {_name(start)}: {_figure(start)}; "
            f"the best, {step:,}, has {_figure(metrics)}."
        )
    return f"The best so far is step {step:,}, by {_name(metrics)}: {_figure(metrics)}{_before(start, metrics)}."


def _compared(step: int | None, which: str, *, metrics: Metrics, start: Metrics) -> Kept:
    worse = headline(start) is not None and is_better(start, metrics)
    verdict = "Worse than the start, but kept" if worse else "Kept"
    return Kept(step, f"{verdict}: {which}: {_figure(metrics)}{_before(start, metrics)}.", worse)


def _before(start: Metrics, metrics: Metrics) -> str:
    if headline(start) is None:
        return ""
    higher = start.get("val_loss", math.inf) < metrics.get("val_loss", -math.inf)
    but = ", with a lower loss" if higher and is_better(metrics, start) else ""
    return f"; the start had {_figure(start)}{but}"


def _name(metrics: Metrics) -> str:
    return "zero-shot top-1" if "zero_shot_top1" in metrics else "recall@1 (mean of both ways)"


def _figure(metrics: Metrics) -> str:
    loss = f" (loss {metrics['val_loss']:.3f})" if "val_loss" in metrics else ""
    return f"{headline(metrics) or 0:.1%}{loss}"


def _rank(metrics: Metrics) -> tuple[float, float]:
    value, loss = headline(metrics), metrics.get("val_loss", 0.0)
    return (-math.inf if value is None else value, -math.inf if math.isnan(loss) else -loss)
