"""The log of a run's metrics: lines in `metrics.jsonl`, and for `--tensorboard` scalars in TensorBoard as well."""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.commands.train.run_folder import RunFolder
from clipcli.errors import MissingExtra, install


class MetricsLog:
    """Writes metrics to the run's folder. In processes that do not lead, `folder` is `None` and nothing is written.

    Raises `MissingExtra` where TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: RunFolder | None, *, tensorboard: bool) -> None:
        self._folder = folder
        self._board = _Board(folder.path) if tensorboard and folder is not None else None

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Add a line of this kind, such as `step` or `validation`."""
        if self._folder is not None:
            self._folder.log(kind, values)
        if self._board is not None:
            self._board.write(values)


def now() -> str:
    """The time for a line, in ISO 8601 to the second, with the zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


class _Board:
    """Writes numbers by step to `RUN/tensorboard`. Raises `MissingExtra`."""

    def __init__(self, run: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingExtra(f"--tensorboard needs tensorboard; run {install('tensorboard')}")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"))

    def write(self, values: Mapping[str, Any]) -> None:
        """Add the numbers of one line, where it is the line of a step."""
        step = values.get("step")
        if step is None:
            return
        for name, value in values.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
