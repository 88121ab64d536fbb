"""Metrics as tables of text, with intervals, for the terminal and the report."""

from __future__ import annotations

import numpy as np

from clipcli.commands.evaluate.hierarchy_results import BackingOff, Hierarchy
from clipcli.commands.evaluate.results import (
    CLASSIFICATION_METRICS,
    RETRIEVAL_METRICS,
    SEVERAL_METRICS,
    UNKNOWN_METRICS,
    Difference,
    Evaluation,
    LabelMetrics,
    Probe,
    Run,
    SeveralRun,
    count_images,
    prompts_in_words,
)
from clipcli.data.task import CLASSIFICATION, RETRIEVAL, SEVERAL_LABELS
from clipcli.scoring.intervals import Estimate

# The rows of a table, the header first.
Table = list[list[str]]
_NONE = "–"
CHANCE = "may be chance"
_LESS_IS_BETTER = ("ece", "nll")
_METRICS = {
    CLASSIFICATION: CLASSIFICATION_METRICS,
    RETRIEVAL: RETRIEVAL_METRICS,
    SEVERAL_LABELS: SEVERAL_METRICS,
}


def table_of_runs(evaluation: Evaluation) -> Table:
    """A row for each run and each linear probe."""
    metrics = metric_names(evaluation)
    rows = [["", "images", *metrics.values()]]
    for name, run in zip(run_names(evaluation), evaluation.runs, strict=True):
        rows.append([name, f"{count_images(run):,}", *(format_with_interval(key, run.metrics[key]) for key in metrics)])
    rows += [
        [probe_name(probe, evaluation), "", *(_format_probe(probe, key) for key in metrics)]
        for probe in evaluation.probes
    ]
    return rows


def table_of_differences(evaluation: Evaluation) -> Table:
    """A row for each difference; an empty table, without a header, if there is none."""
    metrics = metric_names(evaluation)
    rows = [
        [
            difference.run,
            difference.base,
            metrics[difference.metric],
            format_difference(difference.metric, difference.estimate),
            _format_pairing(difference),
        ]
        for difference in evaluation.differences
    ]
    return [["this", "less that", "figure", "difference", "images"], *rows] if rows else []


def table_of_unknown(evaluation: Evaluation) -> Table:
    """A row for each run: how well it tells images of no class; an empty table if there are none."""
    rows = [
        [
            name,
            f"{found.images:,}",
            *(format_with_interval(key, found.metrics[key]) for key in UNKNOWN_METRICS),
        ]
        for name, run in zip(run_names(evaluation), evaluation.runs, strict=True)
        if isinstance(run, Run) and (found := run.unknown) is not None
    ]
    return [["", "of no class", *UNKNOWN_METRICS.values()], *rows] if rows else []


def table_of_levels(run: Run) -> Table:
    """A row for each level of the hierarchy; an empty table, without a header, if the classes are in no groups."""
    levels = run.hierarchy.levels if run.hierarchy else ()
    rows = [
        [
            str(one.level),
            f"{one.names:,}",
            format_with_interval("top1", one.label),
            format_with_interval("top1", one.group),
        ]
        for one in levels
    ]
    return [["level", "names", "label right", "group by score right"], *rows] if rows else []


def table_of_distances(evaluation: Evaluation) -> Table:
    """A row for each run with groups, of the distance in the hierarchy and of backing off; empty if there is none."""
    rows = []
    for name, run in zip(run_names(evaluation), evaluation.runs, strict=True):
        found = run.hierarchy if isinstance(run, Run) else None
        if found is not None:
            rows.append([name, *_distances(found), *(_backing_off(found.back_off) if found.back_off else [])])
    heads = ["", "steps to the truth", "height of common group", "of mistakes"]
    some = next((run.hierarchy for run in evaluation.runs if isinstance(run, Run) and run.hierarchy), None)
    if some is not None and some.back_off is not None:
        heads += [f"right at {some.back_off.at:g}", "classes", "steps"]
    return [heads, *rows] if rows else []


def _distances(found: Hierarchy) -> list[str]:
    of_mistakes = _NONE if found.height_of_mistakes is None else f"{found.height_of_mistakes:.2f}"
    return [*(_format_steps(one) for one in (found.edges, found.height)), of_mistakes]


def _backing_off(found: BackingOff) -> list[str]:
    shares = [format_with_interval("top1", one) for one in (found.accuracy, found.exact)]
    return [*shares, _format_steps(found.edges)]


def _format_steps(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def table_of_classes(run: Run | SeveralRun) -> Table:
    """A row for each class."""
    if isinstance(run, SeveralRun):
        return [["class", "AP", "precision", "recall", "F1", "images", "given"], *map(row_of_label, run.classes)]
    rows = [
        [row.label, f"{row.precision:.1%}", f"{row.recall:.1%}", f"{row.f1:.1%}", f"{row.support:,}"]
        for row in run.classes
    ]
    return [["class", "precision", "recall", "F1", "images"], *rows]


def row_of_label(row: LabelMetrics) -> list[str]:
    """The metrics of one of several labels as text."""
    average_precision = _NONE if row.average_precision is None else f"{row.average_precision:.1%}"
    shares = [f"{share:.1%}" for share in (row.precision, row.recall, row.f1)]
    return [row.label, average_precision, *shares, f"{row.support:,}", f"{row.given:,}"]


def metric_names(evaluation: Evaluation) -> dict[str, str]:
    """The names of the headline metrics, by their keys."""
    return _METRICS[evaluation.task]


def run_names(evaluation: Evaluation) -> list[str]:
    """A name for each run: of data, model and prompts those that are not the same for all runs.

    If all are the same, it is the prompts, or for retrieval the model.
    """
    fields = [(run.data, run.model, prompts_in_words(run)) for run in evaluation.runs]
    different = [n for n in range(3) if len({field[n] for field in fields}) > 1]
    fallback = [1] if evaluation.task == RETRIEVAL else [2]
    return [", ".join(field[n] for n in different or fallback) for field in fields]


def in_words(run: Run) -> list[str]:
    """Whether the scores of a run are refined, which is said only if they are, and whether they are calibrated."""
    refined = [] if run.refined_on is None else [f"refined on {run.refined_on:,} images"]
    how = run.calibration
    return [*refined, "scores not calibrated" if how is None else f"scores calibrated ({how.in_words()})"]


def probe_name(probe: Probe, evaluation: Evaluation) -> str:
    """A name for a probe among the runs: its data and model if there are several, and its shots."""
    parts = [
        getattr(probe, field)
        for field in ("data", "model")
        if len({getattr(run, field) for run in evaluation.runs}) > 1
    ]
    shots = "all images" if probe.shots is None else f"{probe.shots} a class"
    return ", ".join([*parts, f"linear probe, {shots}"])


def format_metric(key: str, value: float) -> str:
    """A metric as per cent with one decimal, or for the likelihood as a number."""
    return f"{value:.3f}" if key == "nll" else f"{value:.1%}"


def format_interval(key: str, estimate: Estimate) -> str:
    """The interval of a metric, in brackets."""
    low, high = (format_metric(key, value).removesuffix("%") for value in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def format_with_interval(key: str, estimate: Estimate | None) -> str:
    """A metric with its interval; a dash if there is none."""
    return _NONE if estimate is None else f"{format_metric(key, estimate.value)} {format_interval(key, estimate)}"


def format_difference(key: str, estimate: Estimate) -> str:
    """A difference of metrics with its interval, in percentage points, or for the likelihood as numbers."""
    factor, digits, unit = (1, 3, "") if key == "nll" else (100, 1, " points")
    value, low, high = (f"{factor * v:+.{digits}f}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} [{low}, {high}]"


def compare(difference: Difference) -> str:
    """The verdict of a difference: better, worse, or that it may be chance. For `ece` and `nll` less is better."""
    low, high = difference.estimate.low, difference.estimate.high
    if low <= 0 <= high:
        return CHANCE
    return "better" if (low > 0) != (difference.metric in _LESS_IS_BETTER) else "worse"


def format_mean_and_spread(key: str, values: tuple[float, ...]) -> str:
    """The mean over seeds, and their standard deviation if there are several."""
    mean = format_metric(key, float(np.mean(values)))
    if len(values) < 2:
        return mean
    return f"{mean} ± {format_metric(key, float(np.std(values, ddof=1))).removesuffix('%')}"


def _format_probe(probe: Probe, key: str) -> str:
    estimate = None if probe.intervals is None else probe.intervals.get(key)
    if estimate is not None:
        return format_with_interval(key, estimate)
    return format_mean_and_spread(key, probe.metrics[key]) if key in probe.metrics else _NONE


def _format_pairing(difference: Difference) -> str:
    """The images that a difference is over, and how they are paired."""
    if not difference.paired:
        return f"unpaired, {difference.images:,} and {difference.base_images:,} images"
    return f"paired{' by name' if difference.by_name else ''}, {difference.images:,} images"
