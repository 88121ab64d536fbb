"""The figures of an evaluation as they are read: in tables, with their intervals."""

from __future__ import annotations

import numpy as np

from clipcli.commands.evaluate.intervals import Estimate
from clipcli.commands.evaluate.results import (
    CLASSIFICATION_METRICS,
    RETRIEVAL_METRICS,
    Difference,
    Evaluation,
    Probe,
    Run,
    counted_in,
)

Table = list[list[str]]
_NONE = "–"


def spoken_metrics(evaluation: Evaluation) -> dict[str, str]:
    """The headline figures by their keys, as they are called."""
    return CLASSIFICATION_METRICS if evaluation.task == "classification" else RETRIEVAL_METRICS


def table_of_runs(evaluation: Evaluation) -> Table:
    """A header, and a row for each run and each linear probe."""
    spoken = spoken_metrics(evaluation)
    rows = [["", "images", *spoken.values()]]
    for name, run in zip(names_of(evaluation), evaluation.runs, strict=True):
        rows.append([name, f"{counted_in(run):,}", *(with_interval(key, run.metrics[key]) for key in spoken)])
    rows += [
        [probe_name(probe, evaluation), "", *(_of_probe(probe, key) for key in spoken)] for probe in evaluation.probes
    ]
    return rows


def table_of_differences(evaluation: Evaluation) -> Table:
    """A header, and a row for each difference; without differences there is nothing."""
    spoken = spoken_metrics(evaluation)
    rows = [
        [one.run, one.base, spoken[one.metric], in_points(one.metric, one.estimate), _images_of(one)]
        for one in evaluation.differences
    ]
    return [["this", "less that", "figure", "difference", "images"], *rows] if rows else []


def table_of_classes(run: Run) -> Table:
    """A header, and a row for each class."""
    rows = [
        [one.label, f"{one.precision:.1%}", f"{one.recall:.1%}", f"{one.f1:.1%}", f"{one.support:,}"]
        for one in run.classes
    ]
    return [["class", "precision", "recall", "F1", "images"], *rows]


def _of_probe(probe: Probe, key: str) -> str:
    estimate = None if probe.intervals is None else probe.intervals.get(key)
    if estimate is not None:
        return with_interval(key, estimate)
    return mean_and_spread(key, probe.metrics[key]) if key in probe.metrics else _NONE


def _images_of(one: Difference) -> str:
    if not one.paired:
        return f"unpaired, {one.images:,} and {one.base_images:,} images"
    return f"paired{' by name' if one.by_name else ''}, {one.images:,} images"


def names_of(evaluation: Evaluation) -> list[str]:
    """What tells the runs apart: data, model and prompts, as far as there are several; the prompts where nothing is."""
    fields = [(run.data, run.model, run.prompts if isinstance(run, Run) else "") for run in evaluation.runs]
    differ = [n for n in range(3) if len({field[n] for field in fields}) > 1]
    alone = [2] if evaluation.task == "classification" else [1]
    return [", ".join(field[n] for n in differ or alone) for field in fields]


def probe_name(probe: Probe, evaluation: Evaluation) -> str:
    """What a probe is called beside the runs."""
    several = [
        value
        for name in ("data", "model")
        if len({getattr(run, name) for run in evaluation.runs}) > 1
        for value in [getattr(probe, name)]
    ]
    shots = "all images" if probe.shots is None else f"{probe.shots} a class"
    return ", ".join([*several, f"linear probe, {shots}"])


def written(name: str, value: float) -> str:
    """A figure as it is read: per cent with one decimal, but for the likelihood."""
    return f"{value:.3f}" if name == "nll" else f"{value:.1%}"


def interval(name: str, estimate: Estimate) -> str:
    """The interval of a figure, in brackets."""
    low, high = (written(name, value).removesuffix("%") for value in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def with_interval(name: str, estimate: Estimate | None) -> str:
    """A figure with its interval; a dash where there is none."""
    return _NONE if estimate is None else f"{written(name, estimate.value)} {interval(name, estimate)}"


def in_points(name: str, estimate: Estimate) -> str:
    """A difference of figures with its interval: in percentage points, but for the likelihood."""
    factor, digits, unit = (1, 3, "") if name == "nll" else (100, 1, " points")
    value, low, high = (f"{factor * v:+.{digits}f}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} [{low}, {high}]"


def mean_and_spread(name: str, values: tuple[float, ...]) -> str:
    """The mean over seeds, and their standard deviation where there are several."""
    mean = written(name, float(np.mean(values)))
    if len(values) < 2:
        return mean
    return f"{mean} ± {written(name, float(np.std(values, ddof=1))).removesuffix('%')}"
