"""The part of an evaluation's report that is about several labels an image: verdict, labels, and the worst images."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from clipcli.commands.evaluate.results import SeveralRun
from clipcli.commands.evaluate.tables import row_of_label
from clipcli.images.limits import Limits
from clipcli.images.thumbnail import thumbnails
from clipcli.records import Skipped
from clipcli.report import Gallery, Group, Section, Table, Thumbnail

_MOST_IMAGES = 24
# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 160
_COLUMNS = ("label", "AP", "precision", "recall", "F1", "images", "given")
_NOTE = (
    "AP, average precision: how well the scores for the label rank the images that have it above the others, whatever"
    " the threshold. Recall: of the images that have the label, the share that is given it. Precision: of the images"
    " that are given it, the share that has it."
)


def verdict_of_several(run: SeveralRun) -> list[str]:
    """How many labels are found, and how many given are wrong, in two sentences."""
    found, true = int((run.given & run.truth).sum()), int(run.truth.sum())
    given, wrong = int(run.given.sum()), int((run.given & ~run.truth).sum())
    per_image = f"{given / len(run.given):.2f} labels an image, where {true / len(run.truth):.2f} are true"
    return [f"{found:,} of {true:,} labels found.", f"{wrong:,} of {given:,} given are wrong: {per_image}."]


def sections_of_several(run: SeveralRun, labels: Sequence[str], *, limits: Limits) -> list[Section]:
    """The images with the most labels missed or wrong, and a table of the labels, the worst first."""
    classes = sorted(run.classes, key=lambda one: (one.support == 0, one.f1, one.average_precision or 0))
    table = Table("Labels, the worst first", _COLUMNS, list(map(row_of_label, classes)), _NOTE)
    return [*_worst(run, labels, limits), table]


def _worst(run: SeveralRun, labels: Sequence[str], limits: Limits) -> list[Section]:
    wrong = (run.truth != run.given).sum(axis=1)
    worst = [int(n) for n in np.argsort(-wrong, kind="stable")[:_MOST_IMAGES] if wrong[n]]
    images = [entry for entry in run.entries if not isinstance(entry, Skipped)]
    items = [images[n] for n in worst]
    pictures = thumbnails(items, side=_THUMBNAIL, limits=limits)
    shown = [
        Thumbnail(picture, _caption(run, n, labels), os.path.basename(item.id))
        for picture, n, item in zip(pictures, worst, items, strict=True)
        if picture is not None
    ]
    note = "Images without a label missed or wrong are not shown." if len(worst) < _MOST_IMAGES else None
    return [Gallery("Images with the most labels missed or wrong", [Group(shown)], note)] if shown else []


def _caption(run: SeveralRun, n: int, labels: Sequence[str]) -> str:
    """The labels of an image that are missed, wrong and right."""
    truth, given = run.truth[n], run.given[n]
    parts = {"missed": truth & ~given, "wrong": given & ~truth, "right": given & truth}
    said = {word: [label for label, has in zip(labels, some, strict=True) if has] for word, some in parts.items()}
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in said.items() if names)
