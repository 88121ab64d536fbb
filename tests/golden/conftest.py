"""Where the golden runs take place: one thread, a folder of their own with the random models in it, and a killer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits

from clipcli.cli import main

from .inputs import MODELS, build_model

Command = Callable[..., int]
_ROOT = Path(__file__).parents[2]
_COMPARED = "compared"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The number of cores is no matter; and SIGTERM is afterwards what it was."""
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    with threadpool_limits(1):
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the random models."""
    root = tmp_path_factory.mktemp("golden-models")
    for name in MODELS:
        build_model(name, root)
    return root


@pytest.fixture
def place(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; every path that a command is given, and so every path that is recorded, is relative to it."""
    for name in MODELS:
        shutil.copytree(built / name, tmp_path / "models" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clipcli(place: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process, with this cache; its exit code."""

    def command(*arguments: object, cache: str) -> int:
        monkeypatch.setenv("CLIPCLI_CACHE", str(place / cache))
        with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        return int(stop.value.code or 0)

    return command


@pytest.fixture(scope="session")
def _interrupter() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("interrupter.py")
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def interrupted(place: Path, _interrupter: subprocess.Popen[str]) -> Command:
    """Run a command in a process of its own that is interrupted (see interrupter.py); how it ended."""

    def command(*arguments: object, cache: str, at: str, by: str, while_written: str | None = None) -> int:
        environment = {"CLIPCLI_CACHE": str(place / cache), "HF_HOME": os.environ["HF_HOME"]}
        request: dict[str, Any] = {"arguments": [str(argument) for argument in arguments], "folder": str(place)}
        request |= {"environment": environment, "at": at, "by": by, "while_written": while_written}
        assert _interrupter.stdin
        assert _interrupter.stdout
        _interrupter.stdin.write(json.dumps(request) + "\n")
        _interrupter.stdin.flush()
        return int(_interrupter.stdout.readline())

    return command


@pytest.fixture
def compared(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say which comparison was made; a line at the end of the tests counts them."""
    return lambda how: record_property(_COMPARED, how)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How the records were compared."""
    found = [
        value
        for report in terminalreporter.stats.get("passed", ())
        if "golden" in report.nodeid
        for key, value in report.user_properties
        if key == _COMPARED
    ]
    for how in sorted(set(found)):
        terminalreporter.write_line(f"golden records: {found.count(how)} {how}")
