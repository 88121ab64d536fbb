"""The model that a finished run leaves in its folder: the best by validation, or the last, or a mix for `--wise-ft`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from clipcli.commands.train import wise_ft
from clipcli.commands.train.checkpoints import export_model
from clipcli.commands.train.examples import AFTER, write_examples
from clipcli.commands.train.kept import Kept, keep_mix, keep_start, keep_step, start_is_best, verdict
from clipcli.commands.train.metrics_log import now
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.sample import LEAST_IMAGES, sample_share
from clipcli.commands.train.saving import best_weights
from clipcli.commands.train.session import Session
from clipcli.commands.train.stored import keeps_images
from clipcli.commands.train.validation import headline, retention
from clipcli.events import Event, Noted, Warned
from clipcli.images.limits import limits_of

# What may be lost on --retain without a second thought: as much as chance may do on a few hundred images.
_LITTLE = 0.02


def finish(session: Session, starting: wise_ft.Weights, folder: RunFolder | None) -> Generator[Event, None, Kept]:
    """Write the model of the run, and the last line of its metrics, and say what was kept.

    `starting` are the weights before the first step, which are kept where no step is better, and which `--wise-ft`
    mixes with. `folder` is `None` in processes that do not lead. Raises `OutputFailed`.
    """
    state = session.state
    last = session.trainer.result.weights()
    best = yield from _earlier_best(session)
    step, trained = (state.step, last) if best is None else (state.best_step or 0, best)
    measured = state.metrics if best is None else state.best_metrics
    plain = session.trainer.end()
    final, alpha = trained, 1.0
    if session.config.wise_ft is not None:
        alpha, final = yield from _mixed(session, starting, trained, folder)
    elif starting and start_is_best(state.start_metrics, measured):
        alpha, final = 0.0, starting
    if final is not last:
        plain.towers.load_state_dict(dict(final))
        state.metrics = yield from session.measure()
    told = verdict(state.start_metrics, state.metrics, most_lost=max(_LITTLE, session.config.retain_drop))
    kept = replace(_kept(session, step, alpha, measured=measured), verdict=told)
    if folder is not None:
        export_model(session.run, plain, final)
        write_examples(session.run, session.examples, when=AFTER, limits=limits_of(session.config))
        what = {"kept_step": kept.step, "kept": kept.sentence, "verdict": kept.verdict, "worse": kept.worse}
        folder.log("end", _end_line(session) | what)
    return kept


def _kept(session: Session, step: int, alpha: float, *, measured: Mapping[str, float]) -> Kept:
    """What was kept, of a trained `step` with these metrics, of which the model has the share `alpha`."""
    state, start = session.state, session.state.start_metrics
    asked = session.config.wise_ft
    if asked is not None and (alpha < 1 or asked != wise_ft.AUTO):
        return keep_mix(alpha, step, chosen=asked == wise_ft.AUTO, metrics=state.metrics, start=start)
    if alpha == 0:
        return keep_start(start=start, step=step, trained=measured)
    return keep_step(step, steps=session.steps, metrics=state.metrics, start=start, best=state.best_step)


def _earlier_best(session: Session) -> Generator[Event, None, wise_ft.Weights | None]:
    """The weights of the best step by validation; `None` where that is the last step or is not known."""
    step = session.state.best_step
    if step is None:
        return None
    weights = best_weights(step, run=session.run, processes=session.processes)
    if weights is None:
        yield Warned(f"the best checkpoint, of step {step}, is gone; the last weights are taken")
    return None if step == session.state.step else weights


def _mixed(
    session: Session, starting: wise_ft.Weights, trained: wise_ft.Weights, folder: RunFolder | None
) -> Generator[Event, None, tuple[float, wise_ft.Weights]]:
    """The mix of starting and trained weights that `--wise-ft` asks for, after the share of the trained ones.

    The mixes of a sweep are logged.
    """
    alpha = wise_ft.parse_alpha(session.config.wise_ft or wise_ft.AUTO)
    if alpha is not None:
        return alpha, wise_ft.mix(starting, trained, alpha)

    share = sample_share(session.work_of_a_measurement, encoded=session.encoded, times=wise_ft.MIXES)
    sample = session.checks.sample(share, images_known=keeps_images(session.config))
    if min(share.images, share.prompts) < 1:
        images = f"{share.images:.0%} of the images, {LEAST_IMAGES} of each data at least"
        yield Noted(f"--wise-ft auto measures its mixes on {images}, and {share.prompts:.0%} of the prompts")

    def measure(weights: wise_ft.Weights) -> tuple[float | None, float | None]:
        session.trainer.trainee.towers.load_state_dict(dict(weights))
        metrics = session.measured_on(sample).metrics
        return headline(metrics), retention(metrics)

    alpha, points = yield from wise_ft.sweep(starting, trained, measure=measure, retain_drop=session.config.retain_drop)
    for point in points:
        if folder is not None:
            folder.log("wise_ft", {name: getattr(point, name) for name in point.__slots__})
    yield from (point for point in points if point.chosen)
    return alpha, wise_ft.mix(starting, trained, alpha)


def _end_line(session: Session) -> dict[str, Any]:
    """The values of the last line of `metrics.jsonl`."""
    state = session.state
    return {
        "time": now(),
        "step": state.step,
        "seconds": session.seconds,
        "loss": state.loss,
        "skipped": len(state.skipped),
        "truncated_captions": state.cut_captions,
        "best_step": state.best_step,
        "metrics": state.metrics,
    }
