"""A run that has collapsed: all embeddings of a batch are nearly alike, and the loss is no better than chance.

Models with random weights are far from it: the spread of their embeddings was 0.01 to 0.8 in eight architectures, and
never below 0.01 in the first steps of pretraining, while that of collapsed runs was below 0.001. A rate that is a few
times too high gave a collapse that ended by itself after 60 steps.
"""

from __future__ import annotations

from clipcli.commands.train.run_state import RunState
from clipcli.commands.train.settings import TrainConfig
from clipcli.commands.train.trainer import StepNumbers

_ALIKE = 1e-3
# Of the loss at chance: what is learned from the sizes of classes alone is less than the rest.
_NO_BETTER = 0.98
# So many steps that look like it make a collapse, and so many that do not end it.
_STEPS = 20
_SMALL_BATCH = 64
_LONG_WARMUP = 0.1


def notice_collapse(state: RunState, step: int, numbers: StepNumbers) -> bool:
    """Count a step, by its number, in the `state`. Returns true where by it the run has collapsed, or recovered."""
    looks_collapsed = numbers.spread < _ALIKE and numbers.loss >= _NO_BETTER * numbers.chance
    state.alike_steps = min(_STEPS, state.alike_steps + 1) if looks_collapsed else max(0, state.alike_steps - 1)
    before = state.collapsed_step
    if state.alike_steps == 0:
        state.collapsed_step = None
    elif state.alike_steps == _STEPS and before is None:
        state.collapsed_step = step
    return state.collapsed_step != before


def leaves_collapsed(state: RunState) -> bool:
    """True where the model that the run leaves, its best or its last, is of the time after a collapse."""
    if state.collapsed_step is None:
        return False
    return state.best_step is None or state.best_step > state.collapsed_step - _STEPS


def collapse_message(step: int, numbers: StepNumbers, config: TrainConfig) -> str:
    """What happened, and what helps."""
    return (
        f"the run has collapsed: at step {step} all embeddings of a batch are nearly alike, as in the {_STEPS} steps "
        f"before, and the loss, {numbers.loss:.3f}, is no better than chance; start anew with {_help(config)}"
    )


def _help(config: TrainConfig) -> str:
    """The settings to change, those that are likely to blame alone."""
    rates = [rate for rate in (config.lr, config.image_lr, config.text_lr) if rate is not None]
    helps = [f"a lower --lr (it was {max(rates, default=0.0):g})"]
    if (config.warmup or 0) < _LONG_WARMUP * (config.steps or 0):
        helps.append(f"a longer --warmup (it was {config.warmup or 0})")
    if not config.grad_clip_norm:
        helps.append("--grad-clip-norm 1")
    if (config.batch_size or 0) < _SMALL_BATCH:
        helps.append(f"a larger --batch-size (it was {config.batch_size})")
    return " or ".join([", ".join(helps[:-1]), helps[-1]]) if len(helps) > 1 else helps[0]
