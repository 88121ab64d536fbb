"""Which of two is better, and how sure that is: differences of figures, paired where the images are the same."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import BadFile, InputNotFound
from clipcli.evaluation.intervals import difference, estimates, mean_of
from clipcli.evaluation.results import Difference, RetrievalRun, Run
from clipcli.pairs.folders import folded
from clipcli.pairs.pair import some_of
from clipcli.types import Skipped

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

    Raises `InputNotFound`, and `BadFile` where it has no such columns.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            missing = [column for column in _COLUMNS if column not in columns]
            if missing:
                raise BadFile(
                    f"{path}: no column {some_of(missing)} among its columns {some_of(columns)};"
                    " expected a predictions.csv, or what clipcli classify wrote"
                )
            return {row["path"]: row["label"] or None for row in reader}
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror or e}; check --compare") from None
    except csv.Error as e:
        raise BadFile(f"{path}: {e}; is a quote missing?") from None


def check_other(other: Mapping[str, str | None], paths: Sequence[str], *, path: str) -> None:
    """Raise `BadFile` where the other file is not about these images."""
    missing = [one for one in paths if one not in other]
    if missing:
        raise BadFile(
            f"{path}: no row for {len(missing):,} of {len(paths):,} images, such as {missing[0]};"
            " expected the same paths, from the same DATA"
        )


def compared(run: Run, other: Mapping[str, str | None], *, name: str, labels: Sequence[str], path: str) -> Difference:
    """Top-1 of a run less that of another file, over the images that both have a label for.

    Raises `BadFile` where the other file has none of the classes.
    """
    images = [entry for entry in run.images.entries if not isinstance(entry, Skipped)]
    told = [other[image.id] for image in images]
    known = [folded(label) for label in labels]
    if not {folded(label) for label in told if label is not None} & set(known):
        some = [label for label in dict.fromkeys(told) if label is not None]
        raise BadFile(f"{path}: its labels, such as {some_of(some[:3])}, are none of {some_of(list(labels))}")
    both = np.array([label is not None for label in told])
    theirs = np.array(
        [
            label is not None and folded(label) == known[place]
            for label, place in zip(told, run.answers.truth, strict=True)
        ]
    )
    gain: NDArray[np.float64] = run.answers.right[both].astype(np.float64) - theirs[both]
    estimate = estimates({"top1": mean_of(gain)}, count=len(gain))["top1"]
    return Difference("top1", name, path, estimate, paired=True, images=len(gain))


def _between(run: Run | RetrievalRun, base: Run | RetrievalRun, *, names: tuple[str, str]) -> list[Difference]:
    paired = sorted(_keys(run)) == sorted(_keys(base))
    found = []
    for metric, mine in run.metrics.items():
        theirs = base.metrics.get(metric)
        if mine is not None and theirs is not None:
            estimate = difference(mine, theirs, paired=paired)
            found.append(Difference(metric, *names, estimate, paired, len(_keys(run))))
    return found


def _keys(run: Run | RetrievalRun) -> Sequence[str]:
    if isinstance(run, Run):
        return run.images.keys
    return [entry.id for entry in run.entries if not isinstance(entry, Skipped)]


def _recipe(run: Run | RetrievalRun) -> tuple[str, str]:
    return run.model, run.prompts if isinstance(run, Run) else ""
