"""The mistakes of a run for its report: in a sentence, and as thumbnails by pair of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from clipcli.commands.evaluate.results import IndexArray, RetrievalRun, Run, count_images, entries_of
from clipcli.images.limits import Limits
from clipcli.images.thumbnail import thumbnails
from clipcli.records import Skipped
from clipcli.report import Gallery, Group, Section, Thumbnail

_MOST_PAIRS = 12
_MOST_OF_PAIR = 6
_MOST_OF_RETRIEVAL = 24
# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 160


def verdict(run: Run | RetrievalRun, labels: Sequence[str]) -> list[str]:
    """How many are right, and the most frequent mistake, in two sentences."""
    count = count_images(run)
    if isinstance(run, RetrievalRun):
        found = int((run.ranks == 1).sum())
        sentence = f"{found:,} of {count:,} images are nearest to one of their own captions."
        if found == count:
            return [sentence]
        return [sentence, f"Of the farthest image the own caption has rank {run.ranks.max():,} of {run.captions:,}."]
    if len(labels) == 1:
        return [f"{count:,} images of one class, {labels[0]}, beside which there is nothing to choose from."]
    sentence = f"{int(run.predictions.correct.sum()):,} of {count:,} right."
    pairs = pairs_of_mistakes(run)
    if not pairs:
        return [sentence]
    (truth, label, number), *others = pairs
    if others and others[0][2] == number:
        return [sentence]
    verb = "are" if labels[truth].endswith("s") and not labels[truth].endswith("ss") else "is"
    return [sentence, f"Most often {labels[truth]} {verb} taken for {labels[label]} ({number:,})."]


def pairs_of_mistakes(run: Run) -> list[tuple[int, int, int]]:
    """The true class, the label given, and the number of images of each pair of classes, the most frequent first."""
    wrong = run.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    return [(int(n) // len(wrong), int(n) % len(wrong), int(wrong.flat[n])) for n in order]


def mistakes(run: Run, labels: Sequence[str], *, limits: Limits) -> list[Section]:
    """Thumbnails of images with a wrong label: the most frequent pairs of classes, of each the highest scores first."""
    predictions, pairs = run.predictions, pairs_of_mistakes(run)
    groups = []
    for truth, label, count in pairs[:_MOST_PAIRS]:
        of_pair = np.flatnonzero((predictions.truth == truth) & (predictions.best[:, 0] == label))
        most = of_pair[np.argsort(-predictions.scores[of_pair, 0], kind="stable")][:_MOST_OF_PAIR]
        captions = [f"said {labels[label]}, {predictions.scores[n, 0]:.0%}; is {labels[truth]}" for n in most]
        share = f"{count:,} of {run.confusion[truth].sum():,}"
        groups += _group(run, most, captions, limits, name=f"{labels[truth]} taken for {labels[label]}", note=share)
    more = len(pairs) - _MOST_PAIRS
    note = f"And {more:,} more pairs; confusion.csv has all." if more > 0 else None
    return [Gallery("Mistakes by pair of classes", groups, note)] if groups else []


def retrieval_mistakes(run: RetrievalRun, *, limits: Limits) -> list[Section]:
    """Thumbnails of the images whose own captions have the highest ranks, the highest first; rank 1 is no mistake."""
    wrong = np.flatnonzero(run.ranks > 1)
    most = wrong[np.argsort(-run.ranks[wrong], kind="stable")][:_MOST_OF_RETRIEVAL]
    captions = [f"Nearest: “{run.nearest[n]}”. Its own, rank {run.ranks[n]:,}: “{run.own[n]}”." for n in most]
    groups = _group(run, most, captions, limits)
    return [Gallery("Images farthest from their captions", groups)] if groups else []


def _group(
    run: Run | RetrievalRun,
    indices: IndexArray,
    captions: Sequence[str],
    limits: Limits,
    *,
    name: str = "",
    note: str = "",
) -> list[Group]:
    """Thumbnails of those images of the run that were read and have these indices among them."""
    images = [entry for entry in entries_of(run) if not isinstance(entry, Skipped)]
    items = [images[n] for n in indices]
    pictures = thumbnails(items, side=_THUMBNAIL, limits=limits)
    shown = [
        Thumbnail(picture, caption, os.path.basename(item.id))
        for picture, caption, item in zip(pictures, captions, items, strict=True)
        if picture is not None
    ]
    return [Group(shown, name, note)] if shown else []
