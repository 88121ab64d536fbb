"""A loss or a gradient that is not a number: the images of its batch are named, and the run ends."""

from __future__ import annotations

import math
from pathlib import Path

from clipcli.commands.train.checkpoints import checkpoints_in
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.trainer import StepNumbers, TakenStep
from clipcli.errors import ClipcliError
from clipcli.outputs.text import writable

BAD_BATCH_FILE = "bad-batch.txt"
_NAMES_SHOWN = 3


def check_finite(step: TakenStep, numbers: StepNumbers, *, run: Path, processes: Processes) -> None:
    """Raise `ClipcliError` where the step's loss or gradient norm is not finite, in all processes alike.

    Before that the leading process writes the images of the whole batch to `bad-batch.txt` in the folder `run`.
    """
    if math.isfinite(numbers.loss) and math.isfinite(numbers.grad_norm):
        return
    names = [name for names in processes.gather_objects(step.batch.names) for name in names]
    if processes.leads:
        lines = "".join(f"{writable(name)}\n" for name in names)
        (run / BAD_BATCH_FILE).write_text(lines, encoding="utf-8", errors="surrogateescape")
    saved = checkpoints_in(run)
    kept = f"the last good checkpoint is {saved[-1].folder}" if saved else "no checkpoint was saved yet"
    error = ClipcliError(
        f"the {'gradient' if math.isfinite(numbers.loss) else 'loss'} is not a number at step {step.number}; its batch "
        f"was {', '.join(names[:_NAMES_SHOWN])} and {max(0, len(names) - _NAMES_SHOWN)} more, all in "
        f"{run / BAD_BATCH_FILE}; {kept}; try a lower --lr, or --precision fp32"
    )
    raise processes.alike(error)
