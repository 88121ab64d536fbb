"""Work for later runs waits until the output is there: what interrupts it costs nothing of this run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipcli.encoding.engines import quick
from clipcli.encoding.model import Model
from clipcli.events import Event

from .conftest import Run


@pytest.mark.parametrize(
    ("command", "output"),
    [("classify", "rows.csv"), ("embed", "embeddings.safetensors"), ("evaluate", "results/report.html")],
)
def test_a_model_is_prepared_once_the_output_is_there(
    command: str, output: str, run: Run, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_there = []

    def interrupted(*_: object) -> Iterator[Event]:
        was_there.append((tmp_path / output).exists())
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("clipcli.encoding.model.LONG_RUN", 0)
    monkeypatch.setattr(quick, "unprepared", lambda *_: ["image"])
    monkeypatch.setattr(Model, "prepare", interrupted)
    (tmp_path / "data.csv").write_text(f"image,label\n{photos}/a.jpg,cat\n{photos}/b.png,dog\n")
    inputs = ["data.csv"] if command == "evaluate" else [photos]
    labels = ["--labels", "cat, dog"] if command == "classify" else []
    done = run(command, *inputs, *labels, "--model", "tiny", "-o", Path(output).parts[0])
    assert done.code == 130, done.err
    assert was_there == [True]
