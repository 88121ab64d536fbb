"""The report of an evaluation: one HTML page with metrics, charts and mistakes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipcli.commands.evaluate.intervals import LEVEL, RESAMPLES
from clipcli.commands.evaluate.output import REPORT
from clipcli.commands.evaluate.results import Evaluation, RetrievalRun, Run, count_images, count_skipped, entries_of
from clipcli.commands.evaluate.tables import (
    format_interval,
    format_metric,
    metric_names,
    table_of_classes,
    table_of_differences,
    table_of_runs,
)
from clipcli.images.thumbnail import thumbnails
from clipcli.records import Skipped
from clipcli.report import Charts, Gallery, Group, Headline, Number, Page, Section, Table, Thumbnail, write_page
from clipcli.report.accuracy_charts import confusion_matrix, reliability_diagram

_MOST_CLASSES_IN_MATRIX = 50
_MOST_CONFUSED = 40
_MOST_MISTAKES = 24
_MOST_SKIPPED = 50
# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 192
_CONFUSION_NOTE = "Each row is a true class; the stronger a cell's colour, the more of its row."
# Names of metrics that are abbreviated in tables.
_LONG_NAMES = {"mean recall": "Mean per-class recall", "ECE": "Calibration error", "NLL": "Negative log-likelihood"}


def write_report(folder: Path, evaluation: Evaluation) -> Path:
    """Write `report.html` in the output's folder, and return its path. Raises `OutputFailed`."""
    first = evaluation.runs[0]
    sections: list[Section] = [
        *_headlines(first, evaluation),
        *_runs(evaluation),
        *_differences(evaluation),
    ]
    if isinstance(first, Run):
        sections += [
            *_calibration(first),
            *_confusion(first, evaluation.labels),
            _classes(first),
            *_mistakes(first, evaluation),
        ]
    else:
        sections += _retrieval_mistakes(first)
    sections += _skipped(evaluation)
    target = folder / REPORT
    write_page(target, Page(f"{first.data} · {first.model}", _subtitle(evaluation), sections))
    return target


def _subtitle(evaluation: Evaluation) -> str:
    first = evaluation.runs[0]
    if isinstance(first, Run):
        facts = f"{count_images(first):,} images of {len(evaluation.labels):,} classes, prompts {first.prompts}"
    else:
        facts = f"{count_images(first):,} images with {first.captions:,} captions"
    skipped = count_skipped(first)
    left_out = f"; {skipped:,} more could not be used and do not count" if skipped else ""
    intervals = f"In brackets: {LEVEL:.0%} intervals, of a bootstrap over images, {RESAMPLES:,} times."
    others = (
        f" The large figures, the charts, the classes and the pictures are those of the first of {len(evaluation.runs)}"
        " runs."
        if len(evaluation.runs) > 1
        else ""
    )
    return f"{facts}{left_out}. {intervals}{others}"


def _headlines(run: Run | RetrievalRun, evaluation: Evaluation) -> list[Section]:
    """The headline metrics as large numbers; those of retrieval in two rows, one for each direction."""
    numbers: dict[str | None, list[Number]] = {}
    for key, name in metric_names(evaluation).items():
        heading, _, metric = name.rpartition(" ") if isinstance(run, RetrievalRun) else ("", "", name)
        estimate = run.metrics[key]
        label = _LONG_NAMES.get(metric, f"{metric[0].upper()}{metric[1:]}")
        row = numbers.setdefault(heading.capitalize() or None, [])
        if estimate is None:
            row.append(Number(label, "–", f"there are only {len(evaluation.labels)} classes"))
        else:
            row.append(Number(label, format_metric(key, estimate.value), format_interval(key, estimate)))
    return [Headline(row, heading) for heading, row in numbers.items()]


def _runs(evaluation: Evaluation) -> list[Section]:
    if len(evaluation.runs) == 1 and not evaluation.probes:
        return []
    columns, *rows = table_of_runs(evaluation)
    note = "Linear probes with few shots: mean ± standard deviation over seeds." if evaluation.probes else None
    return [Table("All runs", columns, rows, note)]


def _differences(evaluation: Evaluation) -> list[Section]:
    if not evaluation.differences:
        return []
    columns, *rows = table_of_differences(evaluation)
    note = (
        "Paired images are drawn together, which makes the interval narrower. Those paired by name are called alike in"
        " two data sets, and the difference is over them alone."
    )
    return [Table("Differences", columns, rows, note, text_columns=3)]


def _calibration(run: Run) -> list[Section]:
    bins = [(one.low, one.high, one.confidence, one.accuracy) for one in run.bins]
    chart = reliability_diagram(bins, title="Reliability", x_label="score of the label", y_label="share that is right")
    rows = [
        (f"{one.low:.0%} to {one.high:.0%}", f"{one.count:,}", f"{one.confidence:.1%}", f"{one.accuracy:.1%}")
        for one in run.bins
    ]
    note = (
        "Bars below the dashed line: scores that promise too much. The pale part is the gap. Chance alone makes gaps:"
        " where images are few, the calibration error is too large. Its interval allows for that, and begins at 0 where"
        " it could all be chance."
    )
    return [
        Charts("Calibration", [chart], note),
        Table("Scores and shares that are right", ("score", "images", "mean score", "right"), rows),
    ]


def _confusion(run: Run, labels: Sequence[str]) -> list[Section]:
    """The confusion matrix as a chart, or for many classes a table of the most frequent mistakes."""
    if len(labels) <= _MOST_CLASSES_IN_MATRIX:
        chart = confusion_matrix(run.confusion, labels, title="Confusion", x_label="label given", y_label="true class")
        return [
            Charts(
                "Confusion",
                [chart],
                _CONFUSION_NOTE,
                large=True,
            )
        ]
    wrong = run.confusion.copy()
    np.fill_diagonal(wrong, 0)
    most = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSED]
    pairs = [(int(cell) // len(labels), int(cell) % len(labels)) for cell in most]
    rows = [
        (labels[row], labels[column], f"{wrong[row, column]:,}", f"{wrong[row, column] / run.confusion[row].sum():.1%}")
        for row, column in pairs
        if wrong[row, column]
    ]
    columns = ("true class", "label given", "images", "of the class")
    note = "The most frequent mistakes; confusion.csv has all."
    return [Table("Most confused", columns, rows, note, text_columns=2)] if rows else []


def _classes(run: Run) -> Table:
    columns, *rows = table_of_classes(run)
    note = "Precision: of the images called so, the share that is. Recall: of the images that are, the share called so."
    return Table("Classes", columns, rows, note)


def _mistakes(run: Run, evaluation: Evaluation) -> list[Section]:
    """Thumbnails of the images with a wrong label, those with the highest scores first."""
    predictions, labels = run.predictions, evaluation.labels
    wrong = np.flatnonzero(~predictions.correct)
    most = wrong[np.argsort(-predictions.scores[wrong, 0], kind="stable")][:_MOST_MISTAKES]
    captions = [
        f"{labels[predictions.best[n, 0]]} {predictions.scores[n, 0]:.0%}, and is {labels[predictions.truth[n]]}"
        for n in most
    ]
    return _gallery("Most confident mistakes", run, most.tolist(), captions)


def _retrieval_mistakes(run: RetrievalRun) -> list[Section]:
    """Thumbnails of the images whose captions have the highest ranks, the highest first; a rank of 1 is no mistake."""
    wrong = np.flatnonzero(run.ranks > 1)
    most = wrong[np.argsort(-run.ranks[wrong], kind="stable")][:_MOST_MISTAKES]
    captions = [f"Nearest: “{run.nearest[n]}”. Its own, rank {run.ranks[n]:,}: “{run.own[n]}”." for n in most]
    return _gallery("Images farthest from their captions", run, most.tolist(), captions)


def _gallery(heading: str, run: Run | RetrievalRun, indices: Sequence[int], captions: Sequence[str]) -> list[Section]:
    """Thumbnails with captions of those images of the run that were read and have these indices among them."""
    images = [entry for entry in entries_of(run) if not isinstance(entry, Skipped)]
    items = [images[n] for n in indices]
    shown = [
        Thumbnail(data, caption, os.path.basename(item.id))
        for data, caption, item in zip(thumbnails(items, side=_THUMBNAIL), captions, items, strict=True)
        if data is not None
    ]
    return [Gallery(heading, [Group(shown)])] if shown else []


def _skipped(evaluation: Evaluation) -> list[Section]:
    by_data = {run.data: entries_of(run) for run in evaluation.runs}
    skipped = [entry for entries in by_data.values() for entry in entries if isinstance(entry, Skipped)]
    rows = [(entry.item.id, entry.reason) for entry in skipped[:_MOST_SKIPPED]]
    more = len(skipped) - len(rows)
    note = f"And {more:,} more in predictions.csv." if more else None
    return [Table("Skipped images", ("path", "reason"), rows, note, text_columns=2)] if rows else []
