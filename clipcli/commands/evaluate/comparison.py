"""Which of two is better, and how sure that is: differences of figures, paired where the images are the same."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.classification import measured
from clipcli.commands.evaluate.intervals import Estimate, difference, estimates, mean_of
from clipcli.commands.evaluate.results import Difference, RetrievalRun, Run, counted_in
from clipcli.data.class_names import folded
from clipcli.errors import BadFile, InputNotFound, some_of
from clipcli.outputs.read import is_output, read_rows
from clipcli.records import Skipped

_COLUMNS = ("path", "label")


def differences(runs: Sequence[Run | RetrievalRun], names: Sequence[str]) -> tuple[Difference, ...]:
    """Each run less the first of its data, and less the same model and prompts on the first data."""
    found = []
    for n, run in enumerate(runs):
        same_data = next(m for m, other in enumerate(runs) if other.data == run.data)
        same_recipe = next(m for m, other in enumerate(runs) if _recipe(other) == _recipe(run))
        for base in dict.fromkeys((same_data, same_recipe)):
            if base != n:
                found += _between(run, runs[base], names=(names[n], names[base]))
    return tuple(found)


def read_other(path: str) -> dict[str, str | None]:
    """The label of each path in another `predictions.csv`, or in what `clipcli classify` wrote; `None` without one.

    Raises `InputNotFound`, and `BadFile` where it has no such columns or an image stands there twice.
    """
    found: dict[str, str | None] = {}
    try:
        for image, label in _rows_of_output(path) if is_output(path) else _rows_of_table(path):
            if image in found:
                raise BadFile(f"{path}: two rows for the image {image!r}; keep one of them")
            found[image] = label
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror or e}; check --compare") from None
    except csv.Error as e:
        raise BadFile(f"{path}: {e}; is a quote missing?") from None
    return found


def _rows_of_output(path: str) -> Iterator[tuple[str, str | None]]:
    _, rows = read_rows(path)
    for row in rows:
        yield row.path, row.labels[0] if row.labels else None


def _rows_of_table(path: str) -> Iterator[tuple[str, str | None]]:
    """The paths and labels of any CSV that has them."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        _check_columns(list(reader.fieldnames or []), path)
        for row in reader:
            yield row["path"], row["label"] or None


def check_other(
    other: Mapping[str, str | None], paths: Sequence[str], *, labels: Sequence[str], path: str
) -> list[str]:
    """The labels of these images in the other file that are none of the classes, and so are never right.

    Raises `BadFile` where the other file is not about these images or has none of the classes.
    """
    missing = [one for one in paths if one not in other]
    if missing:
        raise BadFile(
            f"{path}: no row for {len(missing):,} of {len(paths):,} images, such as {missing[0]};"
            " expected the same paths, from the same DATA"
        )
    known = {folded(label) for label in labels}
    told = [label for label in dict.fromkeys(other[one] for one in paths) if label is not None]
    strange = [label for label in told if folded(label) not in known]
    if strange == told:
        raise BadFile(f"{path}: its labels, such as {some_of(told[:3])}, are none of {some_of(labels)}")
    return strange


def compared(run: Run, other: Mapping[str, str | None], *, name: str, labels: Sequence[str], path: str) -> Difference:
    """Top-1 of a run less that of another file, over the images that both have a label for.

    Raises `BadFile` where there is no such image.
    """
    images = [entry for entry in run.images.entries if not isinstance(entry, Skipped)]
    told = [other[image.id] for image in images]
    truths = [folded(labels[place]) for place in run.answers.truth]
    both = np.array([label is not None for label in told])
    if not both.any():
        raise BadFile(f"{path}: no label for any image that can be read, such as {images[0].id}")
    theirs = np.array([folded(label or "") == truth for label, truth in zip(told, truths, strict=True)])
    gain: NDArray[np.float64] = run.answers.right[both].astype(np.float64) - theirs[both]
    estimate = estimates({"top1": mean_of(gain)}, count=len(gain))["top1"]
    return Difference("top1", name, path, estimate, paired=True, images=len(gain), base_images=len(gain))


def _check_columns(columns: list[str], path: str) -> None:
    expected = "expected a predictions.csv, or what clipcli classify wrote"
    if not columns:
        raise BadFile(f"{path}: an empty file; {expected}")
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise BadFile(f"{path}: no column {some_of(missing)} among its columns {some_of(columns)}; {expected}")


def _between(run: Run | RetrievalRun, base: Run | RetrievalRun, *, names: tuple[str, str]) -> list[Difference]:
    """The differences of all figures: over the same images, else those called alike, else all of both."""
    mine, theirs, paired = run.metrics, base.metrics, run.data == base.data
    counts, by_name = (counted_in(run), counted_in(base)), False
    if not paired and isinstance(run, Run) and isinstance(base, Run):
        common = _called_alike(run.images.keys, base.images.keys)
        if common is not None:
            mine, theirs = (_on(one, common) for one in (run, base))
            counts, paired, by_name = (len(common), len(common)), True, True
    return [
        Difference(metric, *names, difference(one, other, paired=paired), paired, *counts, by_name)
        for metric, one in mine.items()
        if one is not None and (other := theirs.get(metric)) is not None
    ]


def _called_alike(keys: Sequence[str], others: Sequence[str]) -> list[str] | None:
    """The keys that both have, each once, where they are most of both; else `None`."""
    counts, other_counts = Counter(keys), Counter(others)
    common = [key for key in keys if counts[key] == other_counts[key] == 1]
    return common if 2 * len(common) > max(len(keys), len(others)) else None


def _on(run: Run, keys: Sequence[str]) -> Mapping[str, Estimate | None]:
    """The figures of a run on the images with these keys alone."""
    place = {key: n for n, key in enumerate(run.images.keys)}
    rows = np.array([place[key] for key in keys], dtype=np.intp)
    return measured(run.answers.of(rows), classes=len(run.classes), keys=keys)


def _recipe(run: Run | RetrievalRun) -> tuple[str, str]:
    return run.model, run.prompts if isinstance(run, Run) else ""
