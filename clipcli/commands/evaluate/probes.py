"""Reads the training images of linear probes, fits the probes, and measures them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipcli.commands.evaluate import linear_probe
from clipcli.commands.evaluate.classes import Classes, truth_of
from clipcli.commands.evaluate.classification import estimate_metrics, metric_values
from clipcli.commands.evaluate.images import LabelledSet
from clipcli.commands.evaluate.linear_probe import FittedProbe
from clipcli.commands.evaluate.parsing import SEEDS
from clipcli.commands.evaluate.results import EvaluatedImages, IndexArray, Probe
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.tree import Data
from clipcli.errors import UsageError
from clipcli.events import Event, ProbeFitted, Warned
from clipcli.notices import Notices
from clipcli.records import Skipped


@dataclass(frozen=True, slots=True)
class ProbeTraining:
    """The training data of linear probes.

    `needed` are those of `all_images` that any probe draws, at these `indices`; only they are encoded.
    """

    all_images: LabelledSet
    indices: IndexArray
    needed: LabelledSet


def check_probe_settings(options: EvaluateSettings) -> None:
    """Raise `UsageError` for `--shots` or `--seeds` without the settings that they belong to."""
    if options.linear_probe is None and options.shots != (None,):
        raise UsageError("--shots are for a linear probe; give --linear-probe TRAIN_DATA as well")
    if options.seeds is not None and not _shot_counts(options):
        raise UsageError("--seeds are for the --shots of a linear probe; give both, as in --shots 1,4,16")


def read_training(options: EvaluateSettings, columns: Columns, classes: Classes, notices: Notices) -> ProbeTraining:
    """Read the data of `--linear-probe`, and find the images that the probes of all shots and seeds draw.

    Raises the errors of data, and `UsageError` if a class has too few images.
    """
    where = options.linear_probe or ""
    data = read_labelled(Data(where, notices, options.exclude), columns)
    all_images = LabelledSet(where, data, truth_of(data, classes, allow_empty=True))
    linear_probe.check_shots(all_images.truth, classes.names, _shot_counts(options), where=where)
    indices = linear_probe.needed_images(all_images.truth, shots=options.shots, seeds=_seed_count(options))
    images = list(labelled_of(data))
    entries = tuple(images[n] for n in indices)
    needed = LabelledSet(where, replace(data, entries=entries), all_images.truth[indices])
    return ProbeTraining(all_images, indices, needed)


def overlap_warnings(training: ProbeTraining, tests: Sequence[LabelledSet]) -> Iterator[str]:
    """A warning for each DATA that shares images with the training data."""
    training_paths = {os.path.abspath(labelled.item.id) for labelled in labelled_of(training.all_images.data)}
    for test in tests:
        shared = sum(os.path.abspath(labelled.item.id) in training_paths for labelled in labelled_of(test.data))
        if shared:
            yield (
                f"{shared:,} of {len(test.truth):,} images of {test.name} are also in {training.all_images.name}:"
                " the linear probe's figures there are too high"
            )


def fit_probes(
    training: ProbeTraining,
    images: EvaluatedImages,
    tests: Sequence[EvaluatedImages],
    *,
    models: Sequence[str],
    options: EvaluateSettings,
    labels: Sequence[str],
) -> Generator[Event, None, list[Probe]]:
    """Fit a probe for each model, number of shots and seed, and measure it on every DATA.

    `images` are the needed training images, with embeddings of each of the `models`. Raises `UsageError` if a class has
    too few images that could be read.
    """
    unusable = len(training.all_images.data.entries) - len(training.all_images.truth) + images.skipped
    if unusable:
        yield Warned(f"{unusable:,} images of {images.name} cannot be used for the linear probe")
    linear_probe.check_shots(images.truth, labels, _shot_counts(options), where=images.name)
    # With all images one seed is enough: it only draws the validation images.
    plan = [(shots, range(1 if shots is None else _seed_count(options))) for shots in options.shots]
    total, done = len(models) * sum(len(seeds) for _, seeds in plan), 0
    probes = []
    for n, model in enumerate(models):
        for shots, seeds in plan:
            fitted = []
            for seed in seeds:
                fitted.append(_fit(training, images, n, shots=shots, seed=seed))
                done += 1
                yield ProbeFitted(done, total, shots)
            if not all(probe.converged for probe in fitted):
                yield Warned(f"the linear probe on {images.name} did not converge; its figures may be a little low")
            probes += [_measure(fitted, test, n, model=model, shots=shots, labels=labels) for test in tests]
    return probes


def _fit(training: ProbeTraining, images: EvaluatedImages, n: int, *, shots: int | None, seed: int) -> FittedProbe:
    """Fit one probe on embeddings of the `n`-th model, with images drawn from all those that could be read."""
    read = training.indices[[not isinstance(entry, Skipped) for entry in images.entries]]
    usable = np.zeros(len(training.all_images.truth), dtype=np.bool_)
    usable[read] = True
    split = linear_probe.split(training.all_images.truth, shots=shots, seed=seed, usable=usable)
    return linear_probe.fit(images.embeddings[n], images.truth, split.within(read))


def _measure(
    fitted: Sequence[FittedProbe],
    images: EvaluatedImages,
    n: int,
    *,
    model: str,
    shots: int | None,
    labels: Sequence[str],
) -> Probe:
    """Measure the probes of all seeds on the images of one DATA, with embeddings of the `n`-th model."""
    predictions = [linear_probe.predict(probe, images.embeddings[n], images.truth) for probe in fitted]
    values = [metric_values(prediction, classes=len(labels)) for prediction in predictions]
    return Probe(
        data=images.name,
        model=model,
        shots=shots,
        seeds=tuple(range(len(fitted))),
        regularisation=tuple(probe.strength for probe in fitted),
        metrics={name: tuple(of_seed[name] for of_seed in values) for name in values[0]},
        intervals=estimate_metrics(predictions[0], classes=len(labels), keys=images.keys) if shots is None else None,
        converged=all(probe.converged for probe in fitted),
    )


def _shot_counts(options: EvaluateSettings) -> list[int]:
    return [number for number in options.shots if number is not None]


def _seed_count(options: EvaluateSettings) -> int:
    return SEEDS if options.seeds is None else options.seeds
