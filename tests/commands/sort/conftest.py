"""An album of small files that are sorted by a made-up output: no model is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

# The labels of the images, with what belongs to some of them.
LABELS = {"a.jpg": "cat", "b.jpg": "dog", "c.jpg": "cat", "more/a.jpg": "cat", "more/d.heic": "dog"}
SIDECARS = ("a.jpg.xmp", "a.CR2", "b.xmp", "more/a.aae", "more/d.MOV")


def write_output(labels: Mapping[str, str], file: str = "predictions.csv") -> None:
    """An output with one label for each path below `photos`."""
    rows = [f'photos/{path},"{label}",0.9,\n' for path, label in labels.items()]
    Path(file).write_text("path,label,score,error\n" + "".join(rows), encoding="utf-8")


def files_below(folder: str | Path = ".") -> dict[str, str]:
    """The files below a folder with their content, but for journals."""
    root = Path(folder)
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith("clipcli-journal-")
    }


def put_photos(names: Sequence[str]) -> None:
    """Files below `photos`, each with a content of its own."""
    for name in names:
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"bytes of {name}", encoding="utf-8")


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with five images, five files that belong to them, and an output."""
    # It takes long, and is for power cuts alone.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.chdir(tmp_path)
    put_photos((*LABELS, *SIDECARS))
    write_output(LABELS)
    return tmp_path
