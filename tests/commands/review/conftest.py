"""Outputs of made-up rows over small pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clipcli.commands.review.run import Review, prepare
from clipcli.commands.review.settings import ReviewFile, ReviewSettings
from clipcli.events import Noted, Warned, result_of
from clipcli.files.manifest import COMPLETE, Manifest, now, write_manifest
from clipcli.outputs.open import Output
from clipcli.records import Provenance, Row
from clipcli.scoring.schema import Schema

LABELS = ("cat", "dog", "cow")
Written = Callable[..., Path]


def picture(path: Path, number: int) -> None:
    """A small picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), (number * 7 % 256, number * 31 % 256, number * 53 % 256)).save(path)


def labelled(count: int, *, labels: Sequence[str] = LABELS) -> list[Row]:
    """Rows of photos, each with the label of its number and less sure the later it comes."""
    names = [labels[n % len(labels)] for n in range(count)]
    return [Row(f"photos/{n:03}.png", (name,), (round(0.99 - n / 1000, 3),)) for n, name in enumerate(names)]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes an output of rows with its pictures and its manifest, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)

    def write(
        rows: Sequence[Row],
        *,
        schema: Schema | None = None,
        labels: Sequence[str] | None = LABELS,
        groups: Sequence[Sequence[str]] | None = None,
        **settings: Any,
    ) -> Path:
        path = Path("predictions.csv")
        for n, row in enumerate(rows):
            if row.error is None and not Path(row.path).exists():
                picture(Path(row.path), n)
        with Output(str(path), format="csv", schema=schema or Schema(), overwrite=True) as output:
            output.write(list(rows))
        if labels is not None:
            made = Provenance(
                command="classify",
                settings={"inputs": ["photos"], **settings},
                model="tiny",
                classes=tuple(
                    {"label": label, "aliases": [], "descriptions": []} | ({"groups": groups[n]} if groups else {})
                    for n, label in enumerate(labels)
                ),
                prompts="plain",
                templates=("{}",),
                classifier=None,
                inputs=("photos",),
                images=len(rows),
                images_digest="",
                kept=(),
            )
            write_manifest(
                path, replace(Manifest(provenance=made, model=None, format="csv", begun=now()), state=COMPLETE)
            )
        return path

    return write


def prepared(said: list[str] | None = None, **settings: Any) -> Review:
    """The review of the output in the working folder; what is said of it goes into the list."""
    file = {name: settings.pop(name) for name in ("output", "html") if name in settings}
    options = ReviewSettings(predictions="predictions.csv", **settings)

    def show(event: object) -> None:
        if said is not None and isinstance(event, Warned | Noted):
            said.append(event.message)

    return result_of(prepare(options, ReviewFile(**file)), show=show)


def content_of(html: str) -> Any:
    """What the script of a page reads."""
    return json.loads(html.split('<script type="application/json" id="content">')[1].split("</script>")[0])
