"""`evaluate` with linear probes: which images they need, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipcli.commands.evaluate import linear_probe
from clipcli.commands.evaluate.classes import Classes, truth_of
from clipcli.commands.evaluate.classification import measured, values_of
from clipcli.commands.evaluate.images import Labels
from clipcli.commands.evaluate.request import SEEDS, EvaluateOptions
from clipcli.commands.evaluate.results import EvaluatedImages, Places, Probe
from clipcli.data.labelled.read import read_labelled
from clipcli.data.labelled.records import Columns, labelled_of
from clipcli.data.pairs.pair import Data
from clipcli.errors import UsageError
from clipcli.events import Event, ProbeFitted, Warned
from clipcli.records import Skipped


@dataclass(frozen=True, slots=True)
class Training:
    """The data of linear probes, and of them the images `needed`, at these `places`, that any probe is fitted on."""

    all: Labels
    places: Places
    needed: Labels


def check_probe(options: EvaluateOptions) -> None:
    """Raise `UsageError` where what is said about probes does not fit together."""
    if options.seeds is not None and options.seeds < 1:
        raise UsageError(f"--seeds {options.seeds} is too small; give 1 or more")
    if options.linear_probe is None and options.shots != (None,):
        raise UsageError("--shots are for a linear probe; give --linear-probe TRAIN_DATA as well")
    if options.seeds is not None and not _numbers(options):
        raise UsageError("--seeds are for the --shots of a linear probe; give both, as in --shots 1,4,16")


def read_training(options: EvaluateOptions, columns: Columns, classes: Classes) -> Training:
    """The images of --linear-probe, and those of them that all draws together see.

    Raises the errors of data, and `UsageError` where a class has too few images.
    """
    where = options.linear_probe or ""
    read = read_labelled(Data(where), columns)
    labels = Labels(where, read, truth_of(read, classes, allow_empty=True))
    linear_probe.check_shots(labels.truth, classes.names, _numbers(options), where=where)
    places = linear_probe.drawn(labels.truth, shots=options.shots, seeds=_seeds(options))
    images = list(labelled_of(read))
    needed = Labels(where, replace(read, entries=tuple(images[n] for n in places)), labels.truth[places])
    return Training(labels, places, needed)


def seen_in_training(training: Training, tests: Sequence[Labels]) -> Iterator[str]:
    """A sentence for each DATA of which images are also in the training data."""
    seen = {os.path.abspath(labelled.item.id) for labelled in labelled_of(training.all.read)}
    for labels in tests:
        both = sum(os.path.abspath(labelled.item.id) in seen for labelled in labelled_of(labels.read))
        if both:
            yield (
                f"{both:,} of {len(labels.truth):,} images of {labels.name} are also in {training.all.name}:"
                " the linear probe's figures there are too high"
            )


def fit_probes(
    training: Training,
    images: EvaluatedImages,
    tests: Sequence[EvaluatedImages],
    *,
    models: Sequence[str],
    options: EvaluateOptions,
    labels: Sequence[str],
) -> Generator[Event, None, list[Probe]]:
    """A probe for each model and number of shots, once for each seed, and its figures on every DATA.

    `images` are those needed, with the embeddings of each of the models. Raises `UsageError` where too few are left of
    a class.
    """
    unusable = len(training.all.read.entries) - len(training.all.truth) + images.skipped
    if unusable:
        yield Warned(f"{unusable:,} images of {images.name} cannot be used for the linear probe")
    linear_probe.check_shots(images.truth, labels, _numbers(options), where=images.name)
    # All images are the same whatever the seed: it only draws those that the regularisation is chosen on.
    plan = [(shots, range(1 if shots is None else _seeds(options))) for shots in options.shots]
    total, done = len(models) * sum(len(seeds) for _, seeds in plan), 0
    probes = []
    for n, model in enumerate(models):
        for shots, seeds in plan:
            fitted = []
            for seed in seeds:
                fitted.append(_fitted(training, images, n, shots=shots, seed=seed))
                done += 1
                yield ProbeFitted(done, total, shots)
            if not all(one.converged for one in fitted):
                yield Warned(f"the linear probe on {images.name} did not converge; its figures may be a little low")
            probes += [_probe(fitted, test, n, model=model, shots=shots, labels=labels) for test in tests]
    return probes


def _fitted(
    training: Training, images: EvaluatedImages, n: int, *, shots: int | None, seed: int
) -> linear_probe.Fitted:
    """One probe, on images that are drawn from all training data and that could be read."""
    read = training.places[[not isinstance(entry, Skipped) for entry in images.entries]]
    usable = np.zeros(len(training.all.truth), dtype=np.bool_)
    usable[read] = True
    chosen = linear_probe.split(training.all.truth, shots=shots, seed=seed, usable=usable)
    return linear_probe.fit(images.embeddings[n], images.truth, chosen.within(read))


def _probe(
    fitted: Sequence[linear_probe.Fitted],
    images: EvaluatedImages,
    n: int,
    *,
    model: str,
    shots: int | None,
    labels: Sequence[str],
) -> Probe:
    answers = [linear_probe.probed(one, images.embeddings[n], images.truth) for one in fitted]
    values = [values_of(one, classes=len(labels)) for one in answers]
    return Probe(
        data=images.name,
        model=model,
        shots=shots,
        seeds=tuple(range(len(fitted))),
        regularisation=tuple(one.strength for one in fitted),
        metrics={name: tuple(one[name] for one in values) for name in values[0]},
        intervals=measured(answers[0], classes=len(labels), keys=images.keys) if shots is None else None,
        converged=all(one.converged for one in fitted),
    )


def _numbers(options: EvaluateOptions) -> list[int]:
    return [number for number in options.shots if number is not None]


def _seeds(options: EvaluateOptions) -> int:
    return SEEDS if options.seeds is None else options.seeds
