"""The content of `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clipcli.commands.evaluate.hierarchy_results import Hierarchy
from clipcli.commands.evaluate.results import (
    AnyRun,
    ClassMetrics,
    Difference,
    Evaluation,
    LabelMetrics,
    Probe,
    RetrievalRun,
    Run,
    SeveralRun,
    UnknownResult,
    count_images,
    count_skipped,
)
from clipcli.commands.evaluate.tables import run_names
from clipcli.scoring.intervals import LEVEL, RESAMPLES, SEED, Estimate
from clipcli.scoring.reliability import Bin
from clipcli.version import __version__


def run_folders(evaluation: Evaluation) -> list[str]:
    """The folder of each run, relative to the output's."""
    return [".", *(f"run-{n}" for n in range(2, len(evaluation.runs) + 1))]


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of `metrics.json`: the metrics of the first run, and of all runs if there are several."""
    names, folders = run_names(evaluation), run_folders(evaluation)
    runs = [_run_as_json(run, name, folder) for run, name, folder in zip(evaluation.runs, names, folders, strict=True)]
    content = {"task": evaluation.task, **runs[0]}
    content["made_with"] = {
        "clipcli": __version__,
        "device": evaluation.device,
        "precision": evaluation.precision,
    }
    content["bootstrap"] = {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED}
    if evaluation.labels:
        content["labels"] = list(evaluation.labels)
    if len(runs) > 1:
        content["runs"] = runs
    if evaluation.probes:
        content["linear_probes"] = [_probe_as_json(probe) for probe in evaluation.probes]
    if evaluation.differences:
        content["differences"] = [_difference_as_json(difference) for difference in evaluation.differences]
    return content


def _run_as_json(run: AnyRun, name: str, folder: str) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": name,
        "folder": folder,
        "data": run.data,
        "model": run.model,
        "weights": run.fingerprint,
    }
    if not isinstance(run, RetrievalRun):
        content["prompts"] = run.prompts
    if isinstance(run, Run):
        content |= _changes_as_json(run)
    content |= {"n": count_images(run), "skipped": count_skipped(run)}
    if isinstance(run, RetrievalRun):
        content["captions"] = run.captions
    if isinstance(run, SeveralRun):
        content |= {"threshold": run.threshold, "labels_per_image": float(run.truth.sum() / len(run.truth))}
        content["given_per_image"] = float(run.given.sum() / len(run.given))
    content |= {key: None if estimate is None else estimate.value for key, estimate in run.metrics.items()}
    content["intervals"] = {key: _interval_as_json(estimate) for key, estimate in run.metrics.items()}
    if isinstance(run, Run):
        return content | _classification_as_json(run)
    if isinstance(run, SeveralRun):
        content["per_class"] = _fields_as_json(run.classes)
    return content


def _changes_as_json(run: Run) -> dict[str, Any]:
    """How the classifier of a run was changed after it was built."""
    refined = {} if run.refined_on is None else {"refined_on": run.refined_on}
    return refined if run.calibration is None else {**refined, "calibrated": run.calibration.in_words()}


def _classification_as_json(run: Run) -> dict[str, Any]:
    """What the headline metrics of a run do not say; of one class alone, how it is told from other things."""
    several = len(run.classes) > 1
    content: dict[str, Any] = {"per_class": _fields_as_json(run.classes)} if several else {}
    if run.hierarchy is not None:
        content["hierarchy"] = _hierarchy_as_json(run.hierarchy)
    if several:
        content["reliability"] = _fields_as_json(run.bins)
    if run.unknown is not None:
        content["unknown"] = _unknown_as_json(run.unknown)
    return content


def _fields_as_json(records: Sequence[ClassMetrics | LabelMetrics | Bin]) -> list[dict[str, Any]]:
    return [{key: getattr(one, key) for key in one.__slots__} for one in records]


def _unknown_as_json(found: UnknownResult) -> dict[str, Any]:
    content: dict[str, Any] = {"folder": found.folder, "n": found.images, "skipped": len(found.skipped), "at": found.at}
    content |= {key: estimate.value for key, estimate in found.metrics.items()}
    content["intervals"] = {key: _interval_as_json(estimate) for key, estimate in found.metrics.items()}
    false, true = zip(*found.curve, strict=True)
    return content | {"curve": {"unknown_kept": list(false), "known_kept": list(true)}}


def _hierarchy_as_json(found: Hierarchy) -> dict[str, Any]:
    back_off = found.back_off
    return {
        "levels": [
            {"level": one.level, "names": one.names} | _values_as_json({"label": one.label, "group": one.group})
            for one in found.levels
        ],
        **_values_as_json({"edges": found.edges, "common_height": found.height}),
        "edges_of_mistakes": found.edges_of_mistakes,
        "common_height_of_mistakes": found.height_of_mistakes,
        "back_off": back_off
        and {"at": back_off.at}
        | _values_as_json({name: getattr(back_off, name) for name in ("accuracy", "exact", "reached", "edges")}),
    }


def _values_as_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    values: dict[str, Any] = {name: estimate.value for name, estimate in estimates.items()}
    return values | {"intervals": {name: _interval_as_json(estimate) for name, estimate in estimates.items()}}


def _probe_as_json(probe: Probe) -> dict[str, Any]:
    content = {key: getattr(probe, key) for key in ("data", "model", "shots", "seeds", "regularisation", "converged")}
    content |= {key: list(values) for key, values in probe.metrics.items()}
    if probe.intervals is not None:
        content["intervals"] = {key: _interval_as_json(estimate) for key, estimate in probe.intervals.items()}
    return content


def _difference_as_json(difference: Difference) -> dict[str, Any]:
    keys = ("metric", "run", "base", "paired", "by_name", "images", "base_images")
    content = {key: getattr(difference, key) for key in keys}
    return content | {"value": difference.estimate.value, "interval": _interval_as_json(difference.estimate)}


def _interval_as_json(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.low, estimate.high]
