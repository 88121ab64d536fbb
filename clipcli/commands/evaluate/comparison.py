"""Differences between runs, and to other predictions, paired if the images are the same."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.normal_form import composed
from clipcli.commands.evaluate.classification import estimate_metrics
from clipcli.commands.evaluate.results import AnyRun, Difference, Run, count_images, prompts_in_words
from clipcli.data.class_names import folded
from clipcli.data.tables.formulas import original_records
from clipcli.errors import BadFile, InputNotFound, some_of
from clipcli.outputs.read import is_output, read_rows
from clipcli.records import Skipped
from clipcli.scoring.intervals import Estimate, bootstrap, difference, mean_of

_COLUMNS = ("path", "label")


def differences(runs: Sequence[AnyRun], names: Sequence[str]) -> tuple[Difference, ...]:
    """Compare each run with the first run on its data, and with the same model and prompts on the first data.

    `names` are those of the runs.
    """
    found = []
    for n, run in enumerate(runs):
        same_data = next(m for m, other in enumerate(runs) if other.data == run.data)
        same_recipe = next(m for m, other in enumerate(runs) if _recipe(other) == _recipe(run))
        for base in dict.fromkeys((same_data, same_recipe)):
            if base != n:
                found += _differences_of(run, runs[base], names=(names[n], names[base]))
    return tuple(found)


def _recipe(run: AnyRun) -> tuple[str, str]:
    return run.model, prompts_in_words(run)


def _differences_of(run: AnyRun, base: AnyRun, *, names: tuple[str, str]) -> list[Difference]:
    """The differences of all metrics of two runs.

    They are over the same images if the data are the same, else over the images with the same keys if these are most of
    both, and otherwise over all images of each.
    """
    metrics, base_metrics = run.metrics, base.metrics
    counts, paired, by_name = (count_images(run), count_images(base)), run.data == base.data, False
    if not paired and isinstance(run, Run) and isinstance(base, Run):
        shared = _shared_keys(run.images.keys, base.images.keys)
        if shared is not None:
            metrics, base_metrics = _metrics_on(run, shared), _metrics_on(base, shared)
            counts, paired, by_name = (len(shared), len(shared)), True, True
    return [
        Difference(metric, *names, difference(estimate, base_estimate, paired=paired), paired, *counts, by_name)
        for metric, estimate in metrics.items()
        if estimate is not None and (base_estimate := base_metrics.get(metric)) is not None
    ]


def _shared_keys(keys: Sequence[str], base_keys: Sequence[str]) -> list[str] | None:
    """The keys that occur once in both, if they are more than half of both; else `None`."""
    counts, base_counts = Counter(keys), Counter(base_keys)
    shared = [key for key in keys if counts[key] == base_counts[key] == 1]
    return shared if 2 * len(shared) > max(len(keys), len(base_keys)) else None


def _metrics_on(run: Run, keys: Sequence[str]) -> Mapping[str, Estimate | None]:
    """The metrics of a run on the images with these keys alone."""
    row_of = {key: n for n, key in enumerate(run.images.keys)}
    rows = np.array([row_of[key] for key in keys], dtype=np.intp)
    return estimate_metrics(run.predictions.select(rows), classes=len(run.classes), keys=keys)


def read_other_labels(path: str) -> dict[str, str | None]:
    """Read the label of each image path from a `predictions.csv` or an output of `clipcli classify`.

    The label is `None` if the image has none. Raises `InputNotFound`, and `BadFile` if columns are missing or an image
    occurs twice.
    """
    labels: dict[str, str | None] = {}
    try:
        for image, label in _rows_of_output(path) if is_output(path) else _rows_of_table(path):
            if image in labels:
                raise BadFile(f"{path}: two rows for the image {image!r}; keep one of them")
            labels[image] = label
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror or e}; check --compare") from None
    except (csv.Error, ValueError) as e:
        raise BadFile(f"{path}: {e}; is a quote missing?") from None
    return labels


def _rows_of_output(path: str) -> Iterator[tuple[str, str | None]]:
    """The paths and first labels of an output of `clipcli classify`, in any format.

    Raises `BadFile` if its rows may have several labels.
    """
    schema, rows = read_rows(path)
    if schema.several:
        raise BadFile(f"{path} has several labels an image, and --compare is for one; give another file")
    for row in rows:
        yield row.path, row.labels[0] if row.labels else None


def _rows_of_table(path: str) -> Iterator[tuple[str, str | None]]:
    """The paths and labels of any CSV with these columns."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        records = original_records(csv.reader(file, strict=True))
        columns = next(records, [])
        _check_columns(columns, path)
        for record in filter(None, records):
            row = dict(zip(columns, record, strict=False))
            yield row.get("path", ""), row.get("label") or None


def _check_columns(columns: list[str], path: str) -> None:
    expected = "expected a predictions.csv, or what clipcli classify wrote"
    if not columns:
        raise BadFile(f"{path}: an empty file; {expected}")
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise BadFile(f"{path}: no column {some_of(missing)} among its columns {some_of(columns)}; {expected}")


def check_other_labels(
    other_labels: Mapping[str, str | None], images: Sequence[str], *, labels: Sequence[str], path: str
) -> list[str]:
    """Check that the other file, at `path`, is about these images and classes.

    Returns the labels of these images in it that are none of the classes `labels`; they count as wrong. Raises
    `BadFile` if an image is missing, or if none of its labels is one of the classes.
    """
    by_image = _by_image(other_labels, images)
    missing = [image for image in images if image not in by_image]
    if missing:
        raise BadFile(
            f"{path}: no row for {len(missing):,} of {len(images):,} images, such as {missing[0]};"
            " expected the same paths, from the same DATA"
        )
    known = {folded(label) for label in labels}
    found = [label for label in dict.fromkeys(by_image[image] for image in images) if label is not None]
    unknown = [label for label in found if folded(label) not in known]
    if unknown == found:
        raise BadFile(f"{path}: its labels, such as {some_of(found[:3])}, are none of {some_of(labels)}")
    return unknown


def _by_image(other_labels: Mapping[str, str | None], images: Sequence[str]) -> dict[str, str | None]:
    """The other labels of those of these images that have one; the forms that Unicode has for a name are the same."""
    by_form = {composed(path): label for path, label in other_labels.items()} | dict(other_labels)
    keys = ((image, image if image in other_labels else composed(image)) for image in images)
    return {image: by_form[key] for image, key in keys if key in by_form}


def compare_top1(
    run: Run, other_labels: Mapping[str, str | None], *, name: str, labels: Sequence[str], path: str
) -> Difference:
    """The top-1 of a run minus that of the other file, at `path`, over the images that both have a label for.

    `name` is that of the run. Raises `BadFile` if there is no such image.
    """
    images = [entry for entry in run.images.entries if not isinstance(entry, Skipped)]
    by_image = _by_image(other_labels, [image.id for image in images])
    predicted = [by_image[image.id] for image in images]
    true_labels = [folded(labels[n]) for n in run.predictions.truth]
    in_both = np.array([label is not None for label in predicted])
    if not in_both.any():
        raise BadFile(f"{path}: no label for any image that can be read, such as {images[0].id}")
    other_correct = np.array(
        [folded(label or "") == true_label for label, true_label in zip(predicted, true_labels, strict=True)]
    )
    gain: NDArray[np.float64] = run.predictions.correct[in_both].astype(np.float64) - other_correct[in_both]
    estimate = bootstrap({"top1": mean_of(gain)}, count=len(gain))["top1"]
    return Difference("top1", name, path, estimate, paired=True, images=len(gain), base_images=len(gain))
