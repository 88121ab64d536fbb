"""The state of a run comes back from a checkpoint as it was, whatever fields it has."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from clipcli.commands.train.run_state import RunState, state_from
from clipcli.errors import BadFile

CHECKPOINT = Path("run/checkpoints/step-00000007")
# Of every field another value than its default.
VALUES: dict[str, Any] = {
    "identity": {"DATA": "a3"},
    "roots": ("photos/",),
    "skipped": {"b.png": "no caption", "a.png": "empty"},
    "steps": 9,
    "step": 7,
    "seconds": 1.5,
    "loss": 0.25,
    "cut_captions": 3,
    "alike_steps": 2,
    "collapsed_step": 5,
    "metrics": {"val_loss": 2.0},
    "validated_step": 6,
    "best_step": 4,
    "best_metrics": {"zero_shot_top1": 0.5},
    "start_metrics": {"zero_shot_top1": 0.25},
    "no_better": 2,
}


def new_state() -> RunState:
    """The state of a run before its first step."""
    return RunState(identity={"DATA": "a3"}, roots=("photos/",), skipped={})


def test_every_field_is_saved_and_restored(tmp_path: Path) -> None:
    assert VALUES.keys() == {field.name for field in dataclasses.fields(RunState)}
    state = RunState(**VALUES)
    torch.save(dataclasses.asdict(state), tmp_path / "state.pt")
    restored = state_from(torch.load(tmp_path / "state.pt", weights_only=True), checkpoint=CHECKPOINT)
    assert restored == state
    assert list(restored.skipped) == ["b.png", "a.png"]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("change", ["missing", "renamed"])
def test_a_checkpoint_with_other_fields_is_refused(name: str, change: str) -> None:
    saved = {key: value for key, value in VALUES.items() if key != name}
    if change == "renamed":
        saved[f"{name}_before"] = VALUES[name]
    with pytest.raises(BadFile, match=f"^{re.escape(str(CHECKPOINT))} is of another version of clipcli"):
        state_from(saved, checkpoint=CHECKPOINT)


@pytest.mark.parametrize(
    ("values", "improved", "best"),
    [
        ([0.5], [False], None),
        ([0.5, 0.4], [False, True], (1, 0.4)),
        ([0.5, 0.4, 0.4, 0.6, 0.2], [False, True, False, True, False], (3, 0.6)),
        ([None, None], [False, False], None),
    ],
    ids=["untrained", "worse than untrained", "several", "nothing to compare by"],
)
def test_the_best_step_is_the_first_of_the_best_after_training_began(
    values: list[float | None], improved: list[bool], best: tuple[int, float] | None
) -> None:
    state = new_state()
    found = []
    for step, value in enumerate(values):
        state.step = step
        metrics = {"val_loss": 1.0} if value is None else {"zero_shot_top1": value}
        found.append(state.add_validation(metrics))
        assert (state.validated_step, state.metrics) == (step, metrics)
    assert found == improved
    assert (state.best_step, state.best_metrics.get("zero_shot_top1")) == (best or (None, None))
    assert state.start_metrics.get("zero_shot_top1") == values[0]


def test_of_steps_with_the_same_recall_the_one_with_the_lower_loss_is_the_best() -> None:
    state = new_state()
    losses = [1.4, 1.6, 1.5, 1.5, math.nan]
    recalls = {"image_to_text_recall@1": 0.5, "text_to_image_recall@1": 0.5}
    for state.step, loss in enumerate(losses):
        state.add_validation({"val_loss": loss, **recalls})
    assert (state.best_step, state.best_metrics["val_loss"]) == (2, 1.5)
