"""Writes predictions, confusion matrix and metrics, each file whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipcli.classes.joined import join_labels
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
    entries_of,
)
from clipcli.commands.evaluate.tables import run_names
from clipcli.errors import OutputExists, OutputFailed, UsageError
from clipcli.files.atomic import write_text
from clipcli.outputs.csv import csv_writer
from clipcli.records import Skipped
from clipcli.scoring.intervals import LEVEL, RESAMPLES, SEED, Estimate
from clipcli.scoring.reliability import Bin
from clipcli.version import __version__

PREDICTIONS, CONFUSION, METRICS, REPORT = "predictions.csv", "confusion.csv", "metrics.json", "report.html"
# The files that each run has, and all files of an evaluation with one run.
RUN_FILES = (PREDICTIONS, CONFUSION)
FILES = (*RUN_FILES, METRICS, REPORT)


def check_folder(folder: Path, *, overwrite: bool, inputs: Sequence[str] = ()) -> None:
    """Check that the folder can be written to, before any work is done.

    Raises `UsageError` if it cannot be an output's folder or lies in one of the `inputs`, `OutputExists` if it has
    files of an evaluation and `overwrite` is false, and `OutputFailed` without permission to write.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file, and expected is a folder; give another")
    around = next((data for data in inputs if os.path.isdir(data) and _is_inside(folder, data)), None)
    if around is not None:
        raise UsageError(f"--output {folder} lies in {around}, where it would be taken for data; give another")
    existing = existing_files(folder)
    if existing and not overwrite:
        raise OutputExists(f"{existing[0]} exists; give another --output, or --overwrite to replace it")
    parent = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not parent.is_dir():
        raise UsageError(f"--output {folder} lies in {parent}, which is a file; give another")
    if not os.access(parent, os.W_OK):
        raise OutputFailed(f"cannot write in {parent}: Permission denied; choose another --output")


def _is_inside(folder: Path, data: str) -> bool:
    return Path(data).resolve() in (folder.resolve(), *folder.resolve().parents)


def existing_files(folder: Path) -> list[Path]:
    """The files of an earlier evaluation in the folder: those of its first run, then those of the others in order."""
    subfolders = sorted(path for path in folder.glob("run-*") if path.name.removeprefix("run-").isdecimal())
    paths = [folder / name for name in FILES] + [subfolder / name for subfolder in subfolders for name in RUN_FILES]
    return [path for path in paths if path.is_file()]


def write_files(folder: Path, evaluation: Evaluation) -> None:
    """Write all files but the report: those of the first run to the folder, those of the others to subfolders.

    Other files of an earlier evaluation in the folder are removed. Raises `OutputFailed`.
    """
    files: dict[Path, str] = {}
    for run, subfolder in zip(evaluation.runs, run_folders(evaluation), strict=True):
        files[folder / subfolder / PREDICTIONS] = _as_csv(prediction_rows(run, evaluation.labels))
        if isinstance(run, Run):
            files[folder / subfolder / CONFUSION] = _as_csv(confusion_rows(run, evaluation.labels))
    files[folder / METRICS] = json.dumps(as_json(evaluation), indent=1) + "\n"
    _remove([path for path in existing_files(folder) if path not in files])
    for path, text in files.items():
        _write(path, text)


def run_folders(evaluation: Evaluation) -> list[str]:
    """The folder of each run, relative to the output's."""
    return [".", *(f"run-{n}" for n in range(2, len(evaluation.runs) + 1))]


def prediction_rows(run: AnyRun, labels: Sequence[str]) -> list[list[object]]:
    """The rows of `predictions.csv`: a header, and for each image in order its predictions, or why there are none."""
    if isinstance(run, SeveralRun):
        return _several_rows(run, labels)
    return _caption_rows(run) if isinstance(run, RetrievalRun) else _label_rows(run, labels)


def _label_rows(run: Run, labels: Sequence[str]) -> list[list[object]]:
    top_k = run.predictions.best.shape[1]
    ranks = [f"_{n}" if n > 1 else "" for n in range(1, top_k + 1)]
    columns = [name + rank for rank in ranks for name in ("label", "score")]
    rows: list[list[object]] = [["path", "truth", *columns, "truth_score", "error"]]
    predictions = run.predictions
    by_image = iter(zip(predictions.best, predictions.scores, predictions.truth, predictions.truth_score, strict=True))
    for entry, class_name in zip(run.images.entries, run.images.class_names, strict=True):
        if isinstance(entry, Skipped):
            rows.append([entry.item.id, class_name or "", *[""] * (2 * top_k + 1), entry.reason])
            continue
        best, scores, truth, truth_score = next(by_image)
        predicted = [cell for n, score in zip(best, scores, strict=True) for cell in (labels[n], _format_score(score))]
        rows.append([entry.id, labels[truth], *predicted, _format_score(truth_score), ""])
    return rows


def _caption_rows(run: RetrievalRun) -> list[list[object]]:
    rows: list[list[object]] = [["path", "caption", "score", "rank", "error"]]
    by_image = iter(zip(run.nearest, run.scores, run.ranks, strict=True))
    for entry in entries_of(run):
        if isinstance(entry, Skipped):
            rows.append([entry.item.id, "", "", "", entry.reason])
            continue
        caption, score, rank = next(by_image)
        rows.append([entry.id, caption, _format_score(score), int(rank), ""])
    return rows


def _several_rows(run: SeveralRun, labels: Sequence[str]) -> list[list[object]]:
    rows: list[list[object]] = [["path", "truth", "labels", "scores", "error"]]
    by_image = iter(zip(run.truth, run.scores, run.given, strict=True))
    for entry in run.entries:
        if isinstance(entry, Skipped):
            rows.append([entry.item.id, "", "", "", entry.reason])
            continue
        truth, scores, given = next(by_image)
        order = [int(n) for n in np.argsort(-scores, kind="stable") if given[n]]
        lists = (
            [label for label, is_true in zip(labels, truth, strict=True) if is_true],
            [labels[n] for n in order],
            [_format_score(scores[n]) for n in order],
        )
        rows.append([entry.id, *map(join_labels, lists), ""])
    return rows


def _format_score(value: float) -> str:
    # Nine digits hold a float32 exactly: metrics computed from the file are those computed here.
    return f"{float(value):.9g}"


def confusion_rows(run: Run, labels: Sequence[str]) -> list[list[object]]:
    """The rows of `confusion.csv`: for each true class, the number of its images that got each label."""
    rows: list[list[object]] = [["truth", *labels]]
    return rows + [[label, *counts.tolist()] for label, counts in zip(labels, run.confusion, strict=True)]


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


def _as_csv(rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    csv_writer(stream).writerows(rows)
    return stream.getvalue()


def _remove(paths: Sequence[Path]) -> None:
    """Remove the files, and the folders of runs that are empty then."""
    try:
        for path in paths:
            path.unlink()
            if path.parent.name.startswith("run-") and not any(path.parent.iterdir()):
                path.parent.rmdir()
    except OSError as e:
        raise OutputFailed(f"cannot remove {e.filename}: {e.strerror}; choose another --output") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text, errors="surrogateescape")
    except OSError as e:
        raise OutputFailed(f"cannot write {path}: {e.strerror}; free some space or choose another --output") from None
