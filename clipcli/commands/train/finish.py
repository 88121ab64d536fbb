"""The model that a finished run leaves in its folder: the best by validation, or the last, mixed for `--wise-ft`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from torch import Tensor

from clipcli.commands.train import wise_ft
from clipcli.commands.train.checkpoints import checkpoints_in, export_model
from clipcli.commands.train.metrics_log import now
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.session import Session
from clipcli.commands.train.validation import headline, retention
from clipcli.events import Event, Warned

Weights = Mapping[str, Tensor]


def finish(session: Session, starting: Weights, folder: RunFolder | None) -> Generator[Event, None, None]:
    """Write the model of the run, and the last line of its metrics.

    `starting` are the weights before the first step, which `--wise-ft` mixes with. `folder` is `None` in processes
    that do not lead. Raises `OutputFailed`.
    """
    last = session.trainer.result.weights()
    best = yield from _earlier_best(session)
    trained = last if best is None else best
    plain = session.trainer.end()
    final = trained
    if session.config.wise_ft is not None:
        final = yield from _mixed(session, starting, trained, folder)
    if final is not last:
        plain.towers.load_state_dict(dict(final))
        session.state.metrics = yield from session.measure()
    if folder is not None:
        export_model(session.run, plain, final)
        folder.log("end", _end_line(session))


def _earlier_best(session: Session) -> Generator[Event, None, Weights | None]:
    """The weights of the best step by validation; `None` where that is the last step or is not known."""
    step = session.state.best_step
    if step is None:
        return None
    saved = [saved for saved in checkpoints_in(session.run) if saved.step == step]
    if not saved:
        yield Warned(f"the best checkpoint, of step {step}, is gone; the last weights are taken")
        return None
    return None if step == session.state.step else saved[0].weights()


def _mixed(
    session: Session, starting: Weights, trained: Weights, folder: RunFolder | None
) -> Generator[Event, None, Weights]:
    """The mix of starting and trained weights that `--wise-ft` asks for; the mixes of a sweep are logged."""
    alpha = wise_ft.parse_alpha(session.config.wise_ft or wise_ft.AUTO)
    if alpha is not None:
        return wise_ft.mix(starting, trained, alpha)

    def measure(weights: Weights) -> Generator[Event, None, tuple[float | None, float | None]]:
        session.trainer.trainee.towers.load_state_dict(dict(weights))
        metrics = yield from session.measure()
        return headline(metrics), retention(metrics)

    alpha, points = yield from wise_ft.sweep(starting, trained, measure=measure, retain_drop=session.config.retain_drop)
    for point in points:
        if folder is not None:
            folder.log("wise_ft", {name: getattr(point, name) for name in point.__slots__})
    yield from (point for point in points if point.chosen)
    return wise_ft.mix(starting, trained, alpha)


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
