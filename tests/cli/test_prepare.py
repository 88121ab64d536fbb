"""clipcli models M --prepare works for the processor, also where there is a card, and says so."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from clipcli.backbones import runtime
from clipcli.encoding.engines import openvino
from clipcli.encoding.engines.store import Verdict
from clipcli.encoding.model import Model
from clipcli.events import Event

from .conftest import Run


@pytest.mark.parametrize(("best", "asked"), [("cpu", "auto"), ("mps", "cpu")])
def test_a_model_is_prepared_for_the_processor(
    run: Run, monkeypatch: pytest.MonkeyPatch, best: str, asked: str
) -> None:
    devices = []

    def prepare(self: Model, *towers: str) -> Generator[Event, None, list[Verdict]]:
        # It raises for a device that OpenVINO does not run on.
        devices.append((self.settings.device, self._runtime().device))
        yield from ()
        return [Verdict(problem=None, cosine=1.0) for _ in towers]

    monkeypatch.setattr(openvino, "version", lambda: "1.0")
    monkeypatch.setattr(runtime, "_device", lambda device: best if device == "auto" else device)
    monkeypatch.setattr(Model, "prepare", prepare)
    done = run("models", "tiny", "--prepare")
    assert (done.code, devices) == (0, [(asked, "cpu")]), done.err
    assert ("Runs with --device cpu start without torch" in done.err) == (best != "cpu")
