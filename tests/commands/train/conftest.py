"""Pairs to train on, and runs without charts, which several files of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import noisy_pairs


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report is drawn."""
    for module in ("run", "saving"):
        monkeypatch.setattr(f"clipcli.commands.train.{module}.write_report", lambda _: None)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve images of noise with a caption each, which no test changes."""
    return noisy_pairs(tmp_path_factory.mktemp("pairs"), 12)
