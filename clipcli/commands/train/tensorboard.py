"""The metrics for TensorBoard as well, where its package is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.errors import MissingExtra


class Board:
    """Writes numbers by step to `RUN/tensorboard`. Raises `MissingExtra`."""

    def __init__(self, run: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingExtra("--tensorboard needs tensorboard; run pip install 'clipcli[tensorboard]'")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"))

    def write(self, values: Mapping[str, Any]) -> None:
        """One line of the metrics."""
        step = values.get("step")
        if step is None:
            return
        for name, value in values.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
