"""Outputs that are made up here, of small photos, with and without a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clipcli.files.manifest import COMPLETE, Manifest, write_manifest
from clipcli.outputs.open import Output
from clipcli.records import ModelRecord, Provenance, Row
from clipcli.scoring.schema import Schema

Predict = Callable[..., Path]
BEGUN, FINISHED = "2026-05-01T10:00:00+00:00", "2026-05-01T10:05:00+00:00"
# Before the labels were made, in seconds.
LONG_AGO = 1_600_000_000


def photo(path: str) -> Path:
    """A small photo from long ago, of a colour of its own."""
    file = Path(path)
    file.parent.mkdir(exist_ok=True)
    colour = (len(path) * 7 % 256, sum(path.encode()) % 256, 90)
    gradient = Image.linear_gradient("L").convert("RGB").resize((24, 16))
    Image.blend(gradient, Image.new("RGB", (24, 16), colour), 0.5).save(file)
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


def manifest(path: Path, classes: Sequence[tuple[str, ...]], **settings: Any) -> None:
    """Write the manifest of an output; each class is given as its path through its groups."""
    provenance = Provenance(
        command="classify",
        settings=settings,
        model="tiny",
        classes=tuple(
            {"label": label, "aliases": (), "descriptions": (), "groups": groups} for *groups, label in classes
        ),
        prompts="plain",
        templates=("a {}.",),
        classifier=None,
        inputs=("photos",),
        images=1,
        images_digest="0",
        kept=(),
    )
    model = ModelRecord("tiny-model", "0", "square", "fp32", "cpu")
    write_manifest(
        path, Manifest(provenance=provenance, model=model, format="csv", begun=BEGUN, state=COMPLETE, finished=FINISHED)
    )


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Makes photos and their output, in an empty working folder: rows are given as in `Row`, without their scores."""
    monkeypatch.chdir(tmp_path)

    def write(
        rows: dict[str, Sequence[str]],
        *,
        classes: Sequence[tuple[str, ...]] | None = None,
        several: bool = False,
        scores: Sequence[float] = (0.9, 0.06, 0.03),
        to: str = "predictions.csv",
        **settings: Any,
    ) -> Path:
        for path in rows:
            if path.startswith("photos/") and not Path(path).exists():
                photo(path)
        schema = Schema(several=True) if several else Schema(top_k=max(1, *map(len, rows.values()), 1))
        # An output is not written over.
        Path(to).unlink(missing_ok=True)
        with Output(to, format="csv", schema=schema) as output:
            output.write([Row(path, tuple(labels), tuple(scores[: len(labels)])) for path, labels in rows.items()])
        if classes is not None:
            manifest(Path(to), classes, **settings)
        return Path(to)

    return write


def sidecar_keywords(path: str) -> tuple[str, ...] | None:
    """What `dc:subject` of a sidecar says; `None` if there is no sidecar."""
    from clipcli.actions.xmp import LISTS, read_packet

    file = Path(path)
    return read_packet(file.read_bytes()).listed(LISTS["dc:subject"].key) if file.exists() else None


def files_below(folder: str) -> dict[str, tuple[bytes, int]]:
    """The bytes and the time of each file in a folder."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(Path(folder).iterdir())}
