"""How long the faults are tried: `--rounds 20` tries 20 times as many, as `make faults` does."""

from __future__ import annotations

import pytest


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How many times as many faults are tried as in the plain tests."""
    return int(request.config.getoption("--rounds"))
