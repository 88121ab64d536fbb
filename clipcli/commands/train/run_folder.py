"""The folder of a run: in use by one run at a time, with its settings, its metrics and what was skipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.commands.train.checkpoints import saved_in
from clipcli.commands.train.config_file import CONFIG_FILE, changes
from clipcli.commands.train.settings import TrainConfig, configured
from clipcli.errors import OutputExists, OutputFailed, UsageError
from clipcli.files.atomic import part_of, put_in_place
from clipcli.outputs.csv import csv_writer
from clipcli.records import Skipped
from clipcli.settings import read_yaml, to_yaml

METRICS_FILE, SKIPPED_FILE = "metrics.jsonl", "skipped.csv"


class RunFolder:
    """A run's folder, locked for this process until `close`."""

    def __init__(self, path: Path) -> None:
        """Raises `UsageError` where another run is at work in it, and `OutputFailed` where it cannot be made."""
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
        """Let others use the folder."""
        self._lock.release()

    def begin(self, config: TrainConfig, *, resume: bool) -> None:
        """Keep the resolved settings; of a run that goes on, see that they are the same.

        Raises `OutputExists` where a run is there that nobody asked to resume, and `UsageError`, naming what differs.
        """
        file = self.path / CONFIG_FILE
        if not resume:
            if saved_in(self.path) or self.has_metrics:
                raise OutputExists(f"{self.path} holds a run; go on with it by --resume, or give another --output")
            if (self.path / CONFIG_NAME).exists():
                raise OutputExists(f"{self.path} holds a model; give another --output")
        elif file.exists():
            different = changes(configured(read_yaml(file)), config)
            if different:
                raise UsageError(f"cannot resume {self.path}: {'; '.join(different)}; leave that out, or start anew")
        self._replace(CONFIG_FILE, to_yaml(config))

    @property
    def has_metrics(self) -> bool:
        """Whether the run has come far enough to have metrics."""
        return (self.path / METRICS_FILE).exists()

    def log(self, kind: str, values: Mapping[str, Any]) -> None:
        """Add a line to the metrics."""
        line = json.dumps({"kind": kind, **values})
        with (self.path / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def forget_after(self, step: int) -> None:
        """Drop the metrics of later steps than this: they are computed anew."""
        file = self.path / METRICS_FILE
        if not file.exists():
            return
        kept = []
        for line in file.read_text(encoding="utf-8").split("\n"):
            try:
                values = json.loads(line)
            except ValueError:
                # The line that was being written when the run was killed.
                continue
            if values["kind"] in ("end", "wise_ft") or values.get("step", 0) > step:
                continue
            kept.append(line)
        self._replace(METRICS_FILE, "".join(f"{line}\n" for line in kept))

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """Name what was skipped, with the reasons."""
        part = part_of(self.path / SKIPPED_FILE)
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = [(writable(path), writable(reason)) for path, reason in skipped]
            csv_writer(file).writerows([("path", "reason"), *rows])
        put_in_place(part, self.path / SKIPPED_FILE)

    def _replace(self, name: str, text: str) -> None:
        part = part_of(self.path / name)
        part.write_text(text, encoding="utf-8")
        put_in_place(part, self.path / name)


def writable(text: str) -> str:
    """The text as a file takes it that keeps the bytes of odd names: half of a character is written out."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def as_rows(skipped: Iterable[Skipped]) -> list[tuple[str, str]]:
    """Skipped inputs as rows of path and reason."""
    return [(s.item.id, s.reason) for s in skipped]
