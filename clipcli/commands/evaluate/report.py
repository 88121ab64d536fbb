"""The report of an evaluation: one HTML page with metrics, charts and mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipcli.commands.evaluate.mistakes import mistakes, pairs_of_mistakes, retrieval_mistakes, verdict
from clipcli.commands.evaluate.output import REPORT
from clipcli.commands.evaluate.results import (
    AnyRun,
    Evaluation,
    RetrievalRun,
    Run,
    SeveralRun,
    count_images,
    count_skipped,
    entries_of,
    skipped_unknown,
)
from clipcli.commands.evaluate.several_report import sections_of_several, verdict_of_several
from clipcli.commands.evaluate.tables import (
    CHANCE,
    compare,
    format_difference,
    format_interval,
    format_metric,
    in_words,
    metric_names,
    table_of_differences,
    table_of_distances,
    table_of_levels,
    table_of_runs,
    table_of_unknown,
)
from clipcli.images.limits import Limits
from clipcli.records import Skipped
from clipcli.report import Bar, Charts, Headline, Number, Page, Section, Table, Verdict, write_page
from clipcli.report.accuracy_charts import Interval, confusion_map, confusion_matrix, forest_plot, reliability_diagram
from clipcli.report.line_charts import lines
from clipcli.scoring.intervals import LEVEL, RESAMPLES

_MOST_CLASSES_IN_MATRIX = 50
_MOST_CONFUSED = 40
_MOST_SKIPPED = 50
# Of a task, the metrics of which the differences are drawn.
_MAIN_METRICS = ("top1", "f1_micro", "image_to_text_recall@1", "text_to_image_recall@1")
_CONFUSION_NOTE = "Confusion: each row is a true class; the stronger a cell's colour, the more of its row."
_MAP_NOTE = "Confusion: mistakes alone; the stronger a colour, the more of its row. Neighbours may share a cell."
_RELIABILITY_NOTE = (
    "Reliability: bars below the dashed line are scores that promise too much, and the pale part is the gap. Chance"
    " alone makes gaps: where images are few, the calibration error is too large. Its interval allows for that, and"
    " begins at 0 where it could all be chance."
)
_LEVELS_NOTE = (
    "Level 1 are the outermost groups; a class that is in fewer groups stands for itself below them. Label right: the"
    " label is in the same group as the true class. Group by score right: of the scores of that level, each the sum of"
    " its classes, the highest is that of the true class's group."
)
_DISTANCE_NOTE = (
    "Steps to the truth: up from the label to the innermost group that has both in it, and down to the true class."
    " Height: the steps from that group down to the lowest class in it; 0 where the label is right."
)
# Names of metrics that are abbreviated in tables.
_LONG_NAMES = {
    "mean recall": "Mean per-class recall",
    "ECE": "Calibration error",
    "NLL": "Negative log-likelihood",
    "mAP": "Mean average precision",
}


def write_report(folder: Path, evaluation: Evaluation, *, limits: Limits) -> Path:
    """Write `report.html` in the output's folder, its thumbnails within the limits, and return its path.

    Raises `OutputFailed`.
    """
    first = evaluation.runs[0]
    sections: list[Section] = [
        Verdict([*_verdict(first, evaluation.labels), *_difference_in_words(evaluation)]),
        *(_headlines(first, evaluation) if len(evaluation.labels) != 1 else ()),
        *_runs(evaluation),
        *_differences(evaluation),
    ]
    if isinstance(first, Run) and len(evaluation.labels) == 1:
        sections += _unknown(first, evaluation)
    elif isinstance(first, Run):
        sections += [
            *mistakes(first, evaluation.labels, limits=limits),
            *_hierarchy(first, evaluation),
            *_charts(first, evaluation.labels),
            *_unknown(first, evaluation),
            *_most_confused(first, evaluation.labels),
            _classes(first),
            _bins(first),
        ]
    elif isinstance(first, SeveralRun):
        sections += sections_of_several(first, evaluation.labels, limits=limits)
    else:
        sections += retrieval_mistakes(first, limits=limits)
    sections += _skipped(evaluation)
    target = folder / REPORT
    write_page(target, Page(f"{first.data} · {first.model}", _subtitle(evaluation), sections))
    return target


def _verdict(run: AnyRun, labels: Sequence[str]) -> list[str]:
    return verdict_of_several(run) if isinstance(run, SeveralRun) else verdict(run, labels)


def _subtitle(evaluation: Evaluation) -> str:
    first, classes = evaluation.runs[0], len(evaluation.labels)
    if isinstance(first, Run):
        facts = (
            f"{count_images(first):,} images of {classes:,} class{'es' if classes > 1 else ''},"
            f" prompts {first.prompts}, {', '.join(in_words(first))}"
        )
    elif isinstance(first, SeveralRun):
        facts = f"{count_images(first):,} images with any of {classes:,} labels, prompts {first.prompts}"
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


def _headlines(run: AnyRun, evaluation: Evaluation) -> list[Section]:
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
    """A chart of the differences of the main metrics, and a table of all, both with a verdict."""
    if not evaluation.differences:
        return []
    main = [one for one in evaluation.differences if one.metric in _MAIN_METRICS]
    names = metric_names(evaluation)
    rows = [
        Interval(f"{one.run} − {one.base}, {names[one.metric]}", estimate.value, estimate.low, estimate.high)
        for one in main
        if (estimate := one.estimate)
    ]
    columns, *cells = table_of_differences(evaluation)
    table = [[*row, compare(one)] for row, one in zip(cells, evaluation.differences, strict=True)]
    note = (
        "Paired images are drawn together, which makes the interval narrower. Those paired by name are called alike in"
        " two data sets, and the difference is over them alone."
    )
    charts: list[Section] = []
    if rows:
        chart = forest_plot(rows, title="Differences", x_label="points")
        charts = [
            Charts("Differences of the main figures", [chart], "An interval that holds 0 may be chance.", large=True)
        ]
    return [*charts, Table("Differences", [*columns, "verdict"], table, note, text_columns=3)]


def _difference_in_words(evaluation: Evaluation) -> list[str]:
    """The first difference of a main metric in a sentence."""
    first = next((one for one in evaluation.differences if one.metric in _MAIN_METRICS), None)
    if first is None:
        return []
    name, change = metric_names(evaluation)[first.metric], format_difference(first.metric, first.estimate)
    said = compare(first)
    words = f"is {said} than" if said != CHANCE else "cannot be told from"
    return [f"{first.run} {words} {first.base}: {name} {change}."]


def _charts(run: Run, labels: Sequence[str]) -> list[Section]:
    """What is confused with what, beside the reliability of the scores."""
    few = len(labels) <= _MOST_CLASSES_IN_MATRIX
    draw = confusion_matrix if few else confusion_map
    confusion = draw(run.confusion, labels, title="Confusion", x_label="label given", y_label="true class")
    bins = [(one.low, one.high, one.confidence, one.accuracy) for one in run.bins]
    reliability = reliability_diagram(
        bins, title="Reliability", x_label="score of the label", y_label="share that is right"
    )
    note = f"{_CONFUSION_NOTE if few else _MAP_NOTE} {_RELIABILITY_NOTE}"
    return [Charts("Confusion and calibration", [confusion, reliability], note, large=True)]


def _unknown(run: Run, evaluation: Evaluation) -> list[Section]:
    """The curve of the first run, and a table of all: how well images of no class are told from the others."""
    found = run.unknown
    if found is None:
        return []
    false, true = ([100 * share for share in shares] for shares in zip(*found.curve, strict=True))
    series = {"this run": (false, [share / 100 for share in true]), "chance": ([0.0, 100.0], [0.0, 1.0])}
    curve = lines(
        series,
        title="Images that are kept",
        x_label="of images of no class, %",
        y_label="of images of the classes",
        percent=True,
    )
    lost, caught = (found.metrics[key] for key in ("known_lost", "unknown_found"))
    note = (
        f"{found.images:,} images of {found.folder} are of none of the classes. By default classify --unknown calls"
        f" {format_metric('unknown_found', caught.value)} of them unknown, and with them"
        f" {format_metric('known_lost', lost.value)} of the images of the classes. --unknown-at sets another point of"
        " the curve: the further up and left it goes, the better."
    )
    columns, *rows = table_of_unknown(evaluation)
    return [Charts("Unknown images", [curve], note, large=True), Table("Unknown images, in figures", columns, rows)]


def _hierarchy(run: Run, evaluation: Evaluation) -> list[Section]:
    """How right labels are at each level of the hierarchy, how far from the truth, and backing off, in words."""
    if run.hierarchy is None:
        return []
    (columns, *levels), (heads, *distances) = table_of_levels(run), table_of_distances(evaluation)
    found = run.hierarchy.back_off
    said = (
        f" Backing off at {found.at:g}: {found.accuracy.value:.1%} of the answers are the true class or a group that it"
        f" is in, {found.exact.value:.1%} of the answers are classes, and {1 - found.reached.value:.1%} are below"
        f" {found.at:g}, as nothing reaches it."
        if found
        else ""
    )
    return [
        Table("Right at each level of the hierarchy", columns, levels, f"{_LEVELS_NOTE}{said}"),
        Table("Distance in the hierarchy", heads, distances, _DISTANCE_NOTE),
    ]


def _most_confused(run: Run, labels: Sequence[str]) -> list[Section]:
    """A table of the most frequent mistakes, where there are too many classes for a matrix with numbers."""
    if len(labels) <= _MOST_CLASSES_IN_MATRIX:
        return []
    rows = [
        (labels[truth], labels[label], f"{count:,}", f"{count / run.confusion[truth].sum():.1%}")
        for truth, label, count in pairs_of_mistakes(run)[:_MOST_CONFUSED]
    ]
    columns = ("true class", "label given", "images", "of the class")
    note = "The most frequent mistakes; confusion.csv has all."
    return [Table("Most confused", columns, rows, note, text_columns=2)] if rows else []


def _classes(run: Run) -> Table:
    """The classes with the lowest recall first; those without images last."""
    classes = sorted(run.classes, key=lambda one: (one.support == 0, one.recall, one.precision))
    rows = [
        (
            one.label,
            Bar(f"{one.recall:.1%}", one.recall),
            Bar(f"{one.precision:.1%}", one.precision),
            f"{one.f1:.1%}",
            f"{one.support:,}",
        )
        for one in classes
    ]
    note = "Recall: of the images that are, the share called so. Precision: of the images called so, the share that is."
    return Table("Classes, the worst first", ("class", "recall", "precision", "F1", "images"), rows, note)


def _bins(run: Run) -> Table:
    rows = [
        (f"{one.low:.0%} to {one.high:.0%}", f"{one.count:,}", f"{one.confidence:.1%}", f"{one.accuracy:.1%}")
        for one in run.bins
    ]
    return Table("Scores and shares that are right", ("score", "images", "mean score", "right"), rows)


def _skipped(evaluation: Evaluation) -> list[Section]:
    by_data = {run.data: entries_of(run) for run in evaluation.runs}
    skipped = [entry for entries in by_data.values() for entry in entries if isinstance(entry, Skipped)]
    unknown = skipped_unknown(evaluation.runs)
    rows = [(entry.item.id, entry.reason) for entry in (*skipped, *unknown)[:_MOST_SKIPPED]]
    shown = min(len(skipped), _MOST_SKIPPED)
    more, more_unknown = len(skipped) - shown, len(unknown) - (len(rows) - shown)
    notes = [f"And {more:,} more in predictions.csv."] if more else []
    notes += [f"And {more_unknown:,} more of the images of no class, which are in no file."] if more_unknown else []
    note = " ".join(notes) or None
    return [Table("Skipped images", ("path", "reason"), rows, note, text_columns=2)] if rows else []
