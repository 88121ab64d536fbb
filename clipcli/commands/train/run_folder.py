"""The folder of a run: its lock, and its files `train.yaml`, `metrics.jsonl` and `skipped.csv`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.commands.train.checkpoints import checkpoints_in
from clipcli.commands.train.config_file import CONFIG_FILE, changes
from clipcli.commands.train.settings import TrainConfig, configured
from clipcli.data.tables.formulas import defused_cells, defused_columns
from clipcli.errors import OutputExists, OutputFailed, UsageError
from clipcli.files.atomic import replacing, write_text
from clipcli.outputs.csv import csv_writer
from clipcli.outputs.text import writable
from clipcli.parsed import json_of
from clipcli.settings import read_yaml, to_yaml

METRICS_FILE, SKIPPED_FILE = "metrics.jsonl", "skipped.csv"
_SKIPPED = ("path", "reason")


class RunFolder:
    """A run's folder, locked for this process until `close`."""

    def __init__(self, path: Path) -> None:
        """Make and lock the folder. Raises `UsageError` where another run has it, `OutputFailed` where it cannot."""
        self.path = path
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file; give a folder for the run")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"{path} is in use by another run; give another --output, or wait for it") from None
        except OSError as e:
            raise OutputFailed(f"cannot write in {path}: {e.strerror}; choose another --output") from None

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def begin(self, config: TrainConfig, *, resume: bool) -> None:
        """Check that the run may begin here, or go on with these settings, and write those of a new run.

        Raises `OutputExists` where the folder holds a run and `resume` is off, or a model, and `UsageError` where a run
        would be resumed with other settings: the message names them.
        """
        file = self.path / CONFIG_FILE
        if not resume:
            if checkpoints_in(self.path) or self.has_metrics:
                raise OutputExists(f"{self.path} holds a run; go on with it by --resume, or give another --output")
            if (self.path / CONFIG_NAME).exists():
                raise OutputExists(f"{self.path} holds a model; give another --output")
        elif file.exists():
            different = changes(configured(read_yaml(file)), config)
            if different:
                raise UsageError(
                    f"cannot resume {self.path}: {'; '.join(different)}; leave that out, or start anew "
                    "(what may change: --steps, where DATA and the model lie, and what does not change the result)"
                )
            return
        self.write_settings(config)

    def write_settings(self, config: TrainConfig) -> None:
        """Write the resolved settings to `train.yaml`."""
        write_text(self.path / CONFIG_FILE, to_yaml(config))

    @property
    def has_metrics(self) -> bool:
        """True when the run has written its first metrics."""
        return (self.path / METRICS_FILE).exists()

    def log(self, kind: str, values: Mapping[str, Any]) -> None:
        """Add a line of this kind to the metrics, with values that JSON can hold."""
        line = json.dumps({"kind": kind, **values})
        with (self.path / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def forget_after(self, step: int) -> None:
        """Drop the metrics of later steps, which are computed anew, and those of the end of the run."""
        file = self.path / METRICS_FILE
        if not file.exists():
            return
        kept = []
        for line in file.read_text(encoding="utf-8").split("\n"):
            try:
                values = json_of(line)
            except ValueError:
                # The run was killed while it wrote this line.
                continue
            if values["kind"] in ("end", "wise_ft") or values.get("step", 0) > step:
                continue
            kept.append(line)
        write_text(file, "".join(f"{line}\n" for line in kept))

    def write_skipped(self, skipped: Iterable[tuple[str, str]], *, spreadsheet_safe: bool = False) -> None:
        """Write `skipped.csv` anew, of rows of path and reason, or as `clipcli.data.tables.formulas` says."""
        with (
            replacing(self.path / SKIPPED_FILE) as part,
            part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            rows = [(writable(path), writable(reason)) for path, reason in skipped]
            if spreadsheet_safe:
                safe = [defused_cells(_SKIPPED, row, texts=(True, True)) for row in rows]
                csv_writer(file).writerows([defused_columns(_SKIPPED), *safe])
            else:
                csv_writer(file).writerows([_SKIPPED, *rows])
