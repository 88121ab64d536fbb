"""Pairs to train on, which several files of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import noisy_pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve images of noise with a caption each, which no test changes."""
    return noisy_pairs(tmp_path_factory.mktemp("pairs"), 12)
