"""The figures of the guide of `clipcli models`."""

from __future__ import annotations

import pytest

from clipcli.cli.model_guide import _rate


@pytest.mark.parametrize(
    ("speed", "shown"),
    [(12345.6, "12,346"), (10, "10"), (9.96, "10.0"), (2, "2.0"), (0.999, "1.0"), (0.7, "0.70"), (0.0094, "0.0094")],
)
def test_speeds_fit_their_column(speed: float, shown: str) -> None:
    assert _rate(speed) == shown
    assert len(shown) <= len("images")
