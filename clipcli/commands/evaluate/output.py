"""The files of an evaluation: predictions, confusion and metrics, each whole or not there."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipcli.commands.evaluate.intervals import LEVEL, RESAMPLES, SEED, Estimate
from clipcli.commands.evaluate.results import (
    Difference,
    Evaluation,
    Probe,
    RetrievalRun,
    Run,
    counted_in,
    entries_of,
    skipped_in,
)
from clipcli.commands.evaluate.tables import names_of
from clipcli.errors import OutputExists, OutputFailed, UsageError
from clipcli.files.atomic import write_text
from clipcli.outputs.csv import csv_writer
from clipcli.records import Skipped
from clipcli.version import __version__

PREDICTIONS, CONFUSION, METRICS, REPORT = "predictions.csv", "confusion.csv", "metrics.json", "report.html"
OF_A_RUN = (PREDICTIONS, CONFUSION)
FILES = (*OF_A_RUN, METRICS, REPORT)


def check_folder(folder: Path, *, overwrite: bool, inputs: Sequence[str] = ()) -> None:
    """Raise `UsageError`, `OutputExists` or `OutputFailed` now rather than when everything is done."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file, and expected is a folder; give another")
    around = next((data for data in inputs if os.path.isdir(data) and _lies_in(folder, data)), None)
    if around is not None:
        raise UsageError(f"--output {folder} lies in {around}, where it would be taken for data; give another")
    there = written_before(folder)
    if there and not overwrite:
        raise OutputExists(f"{there[0]} exists; give another --output, or --overwrite to replace it")
    above = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not above.is_dir():
        raise UsageError(f"--output {folder} lies in {above}, which is a file; give another")
    if not os.access(above, os.W_OK):
        raise OutputFailed(f"cannot write in {above}: Permission denied; choose another --output")


def write_files(folder: Path, evaluation: Evaluation) -> None:
    """Write all but the report: the first run's files in the folder, those of the others in folders of their own.

    What an evaluation before left there besides is removed. Raises `OutputFailed`.
    """
    files: dict[Path, str] = {}
    for run, place in zip(evaluation.runs, folders_of(evaluation), strict=True):
        files[folder / place / PREDICTIONS] = _table(predictions(run, evaluation.labels))
        if isinstance(run, Run):
            files[folder / place / CONFUSION] = _table(confusion(run, evaluation.labels))
    files[folder / METRICS] = json.dumps(as_json(evaluation), indent=1) + "\n"
    _remove([path for path in written_before(folder) if path not in files])
    for path, text in files.items():
        _write(path, text)


def written_before(folder: Path) -> list[Path]:
    """The files of an evaluation that are in the folder, sorted, those of further runs after the first's."""
    further = sorted(place for place in folder.glob("run-*") if place.name.removeprefix("run-").isdecimal())
    paths = [folder / name for name in FILES] + [place / name for place in further for name in OF_A_RUN]
    return [path for path in paths if path.is_file()]


def folders_of(evaluation: Evaluation) -> list[str]:
    """Where the files of each run lie, below the output's folder."""
    return [".", *(f"run-{n}" for n in range(2, len(evaluation.runs) + 1))]


def predictions(run: Run | RetrievalRun, labels: Sequence[str]) -> list[list[object]]:
    """A header and one row for each image, in order: what is true, the best answers, or why there is none."""
    return _nearest_captions(run) if isinstance(run, RetrievalRun) else _labels(run, labels)


def confusion(run: Run, labels: Sequence[str]) -> list[list[object]]:
    """A row for each true class with the number of its images that got each label; both are named."""
    rows: list[list[object]] = [["truth", *labels]]
    return rows + [[label, *counts.tolist()] for label, counts in zip(labels, run.confusion, strict=True)]


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """What `metrics.json` holds: the first run's figures, and where there are others all runs."""
    names, folders = names_of(evaluation), folders_of(evaluation)
    runs = [_run(run, name, place) for run, name, place in zip(evaluation.runs, names, folders, strict=True)]
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
        content["linear_probes"] = [_probe(probe) for probe in evaluation.probes]
    if evaluation.differences:
        content["differences"] = [_difference(one) for one in evaluation.differences]
    return content


def _run(run: Run | RetrievalRun, name: str, folder: str) -> dict[str, Any]:
    content: dict[str, Any] = {"name": name, "folder": folder, "data": run.data, "model": run.model}
    content["weights"] = run.fingerprint
    if isinstance(run, Run):
        content["prompts"] = run.prompts
    content |= {"n": counted_in(run), "skipped": skipped_in(run)}
    if isinstance(run, RetrievalRun):
        content["captions"] = run.captions
    content |= {key: None if one is None else one.value for key, one in run.metrics.items()}
    content["intervals"] = {key: _interval(one) for key, one in run.metrics.items()}
    if isinstance(run, Run):
        content["per_class"] = [{key: getattr(one, key) for key in one.__slots__} for one in run.classes]
        content["reliability"] = [{key: getattr(one, key) for key in one.__slots__} for one in run.bins]
    return content


def _probe(probe: Probe) -> dict[str, Any]:
    content = {key: getattr(probe, key) for key in ("data", "model", "shots", "seeds", "regularisation", "converged")}
    content |= {key: list(values) for key, values in probe.metrics.items()}
    if probe.intervals is not None:
        content["intervals"] = {key: _interval(one) for key, one in probe.intervals.items()}
    return content


def _difference(one: Difference) -> dict[str, Any]:
    content = {
        key: getattr(one, key) for key in ("metric", "run", "base", "paired", "by_name", "images", "base_images")
    }
    return content | {"value": one.estimate.value, "interval": _interval(one.estimate)}


def _interval(one: Estimate | None) -> list[float] | None:
    return None if one is None else [one.low, one.high]


def _labels(run: Run, labels: Sequence[str]) -> list[list[object]]:
    best = run.answers.best.shape[1]
    ranks = [f"_{n}" if n > 1 else "" for n in range(1, best + 1)]
    answered = [name + rank for rank in ranks for name in ("label", "score")]
    rows: list[list[object]] = [["path", "truth", *answered, "truth_score", "error"]]
    answers = run.answers
    each = iter(zip(answers.best, answers.scores, answers.truth, answers.truth_score, strict=True))
    for entry, said in zip(run.images.entries, run.images.truths, strict=True):
        if isinstance(entry, Skipped):
            rows.append([entry.item.id, said or "", *[""] * (2 * best + 1), entry.reason])
            continue
        places, scores, truth, truth_score = next(each)
        told = [value for place, score in zip(places, scores, strict=True) for value in (labels[place], _short(score))]
        rows.append([entry.id, labels[truth], *told, _short(truth_score), ""])
    return rows


def _nearest_captions(run: RetrievalRun) -> list[list[object]]:
    rows: list[list[object]] = [["path", "caption", "score", "rank", "error"]]
    each = iter(zip(run.nearest, run.scores, run.ranks, strict=True))
    for entry in entries_of(run):
        if isinstance(entry, Skipped):
            rows.append([entry.item.id, "", "", "", entry.reason])
            continue
        caption, score, rank = next(each)
        rows.append([entry.id, caption, _short(score), int(rank), ""])
    return rows


def _short(value: float) -> str:
    # Nine digits are those of a float32: what is counted from the file is what was counted here.
    return f"{float(value):.9g}"


def _table(rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    csv_writer(stream).writerows(rows)
    return stream.getvalue()


def _lies_in(folder: Path, data: str) -> bool:
    return Path(data).resolve() in (folder.resolve(), *folder.resolve().parents)


def _remove(paths: Sequence[Path]) -> None:
    """Remove the files, and the folders of runs that this leaves empty."""
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
