"""Validation while a model trains."""

from __future__ import annotations

from pathlib import Path

from small_data import noisy_pairs

from clipcli.commands.train.run import run
from clipcli.commands.train.settings import configured
from clipcli.events import Warned


def test_validation_images_that_cannot_be_read_are_warned_of_once(tmp_path: Path, model: str) -> None:
    data = noisy_pairs(tmp_path / "data", 8)
    val = noisy_pairs(tmp_path / "val", 4)
    (val / "2.png").write_text("no image")
    config = configured(
        {
            "data": [str(data)],
            "output": str(tmp_path / "run"),
            "model": model,
            "val": str(val),
            "steps": 2,
            "val_every": 1,
            "batch_size": 4,
            "device": "cpu",
            "precision": "fp32",
        }
    )
    warned = [event.message for event in run(config) if isinstance(event, Warned)]
    [said] = [message for message in warned if "validation" in message]
    assert said.startswith("1 of 4 validation images cannot be read and do not count, such as ")
    assert said.endswith("2.png: not an image")
