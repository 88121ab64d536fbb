"""Writes predictions, confusion matrix and metrics, each file whole or not at all."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from clipcli.classes.joined import join_labels
from clipcli.commands.evaluate.metrics_json import as_json, run_folders
from clipcli.commands.evaluate.results import (
    AnyRun,
    Evaluation,
    RetrievalRun,
    Run,
    SeveralRun,
    entries_of,
)
from clipcli.data.tables.formulas import defused_cells, defused_columns
from clipcli.errors import OutputExists, OutputFailed, UsageError
from clipcli.files.atomic import write_text
from clipcli.outputs.csv import csv_writer
from clipcli.records import Skipped

PREDICTIONS, CONFUSION, METRICS, REPORT = "predictions.csv", "confusion.csv", "metrics.json", "report.html"
# The columns of predictions.csv that hold numbers, as text.
_NUMBERS = re.compile(r"scores|(truth_)?score(_\d+)?|rank")
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


def write_files(folder: Path, evaluation: Evaluation, *, spreadsheet_safe: bool = False) -> None:
    """Write all files but the report: those of the first run to the folder, those of the others to subfolders.

    Other files of an earlier evaluation in the folder are removed. Raises `OutputFailed`.
    """
    files: dict[Path, str] = {}
    for run, subfolder in zip(evaluation.runs, run_folders(evaluation), strict=True):
        files[folder / subfolder / PREDICTIONS] = _as_csv(prediction_rows(run, evaluation.labels), spreadsheet_safe)
        if isinstance(run, Run):
            files[folder / subfolder / CONFUSION] = _as_csv(confusion_rows(run, evaluation.labels), spreadsheet_safe)
    files[folder / METRICS] = json.dumps(as_json(evaluation), indent=1) + "\n"
    _remove([path for path in existing_files(folder) if path not in files])
    for path, text in files.items():
        _write(path, text)


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


def _as_csv(rows: Sequence[Sequence[object]], spreadsheet_safe: bool) -> str:
    stream = io.StringIO()
    csv_writer(stream).writerows(_safe(rows) if spreadsheet_safe else rows)
    return stream.getvalue()


def _safe(rows: Sequence[Sequence[object]]) -> Iterator[list[object]]:
    columns = [str(name) for name in rows[0]]
    texts = [not _NUMBERS.fullmatch(name) for name in columns]
    yield [*defused_columns(columns)]
    for row in rows[1:]:
        yield defused_cells(columns, row, texts=texts)


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
