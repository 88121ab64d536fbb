"""Folders that go while a run reads or writes in them: the output is whole, or one line says that its folder went."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipcli.cli import main
from clipcli.outputs.open import Output


@pytest.fixture
def label(photos: Path, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Labels six photos in three batches; returns the exit code."""
    monkeypatch.chdir(photos.parent)
    monkeypatch.setenv("CLIPCLI_CACHE", "cache")
    Path("rows").mkdir()
    command = ["classify", "photos", "--labels", str(labels), "--model", model, "--batch-size", "2", "-q"]

    def run() -> int:
        with pytest.raises(SystemExit) as ended:
            main([*command, "-o", "rows/out.csv", "--overwrite"])
        return int(ended.value.code or 0)

    return run


@pytest.fixture
def goes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a folder go once the first rows are written."""
    write = Output.write

    def choose(folder: str) -> None:
        def and_go(self: Output, rows: Any) -> None:
            write(self, rows)
            shutil.rmtree(folder, ignore_errors=True)

        monkeypatch.setattr(Output, "write", and_go)

    return choose


def test_the_cache(label: Callable[[], int], goes: Callable[[str], None]) -> None:
    assert label() == 0
    rows = Path("rows/out.csv").read_bytes()
    shutil.rmtree("cache")
    goes("cache")
    assert label() == 0
    assert Path("rows/out.csv").read_bytes() == rows


def test_the_photos(label: Callable[[], int], goes: Callable[[str], None]) -> None:
    """Each has its row all the same."""
    # More than are read ahead.
    for n in range(60):
        shutil.copy("photos/b.png", f"photos/z{n}.png")
    goes("photos")
    assert label() == 3
    rows = Path("rows/out.csv").read_text().splitlines()[1:]
    assert len(rows) == 66
    assert rows[0].endswith(",")
    assert rows[-1].endswith("no such file")


def test_the_output(label: Callable[[], int], goes: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    goes("rows")
    assert label() == 1
    said = "clipcli: cannot write rows/out.csv: its folder is gone, with the rows; run this again"
    assert capsys.readouterr().err.strip().splitlines()[-1] == said
