"""Commands run in this process, in an empty folder of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clipcli.cli import main


@dataclass
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> Done:
        with warnings.catch_warnings(), pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(int(exit_.value.code or 0), said.out, said.err)

    return command
