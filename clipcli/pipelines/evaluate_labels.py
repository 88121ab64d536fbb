"""`evaluate` on images whose classes are known: zero-shot by model and prompt set, and linear probes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.towers import IMAGE
from clipcli.cache import Cache
from clipcli.classifier import Classifier
from clipcli.errors import UsageError
from clipcli.evaluation import comparison, probe
from clipcli.evaluation.classes import Classes, classes_in, given_classes, truth_of
from clipcli.evaluation.classification import evaluated, measured, values_of, zero_shot
from clipcli.evaluation.data import CLASSIFICATION, read_labelled
from clipcli.evaluation.embeddings import embed_images
from clipcli.evaluation.labelled import Columns, Labelled, LabelledData, labelled_of
from clipcli.evaluation.request import EvaluateOptions
from clipcli.evaluation.results import EvaluatedImages, Evaluation, Places, Probe, Run
from clipcli.evaluation.tables import names_of
from clipcli.events import Event, InputsFound, ModelLoaded, ProbeFitted, Warned
from clipcli.labels import LabelledClass, classes_from
from clipcli.pairs.pair import Data
from clipcli.pipelines.build_classifier import Recipe, classifiers_and_backbone
from clipcli.pipelines.classify import load_for
from clipcli.prompts import DEFAULT_PROMPTS, load_prompts
from clipcli.runtime import Runtime, choose_runtime
from clipcli.types import Entry, Skipped


@dataclass(frozen=True, slots=True)
class Labels:
    """One DATA with the class `[N]` of each image that has one."""

    name: str
    read: LabelledData
    truth: Places


@dataclass(frozen=True, slots=True)
class Subject:
    """All that was read and checked before a model is loaded; `made_of` gives the class embeddings."""

    classes: Classes
    tests: tuple[Labels, ...]
    train: Labels | None
    made_of: Classifier | tuple[Recipe, ...]
    other: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with the classifiers to try on it."""

    name: str
    classifiers: tuple[Classifier, ...]
    backbone: Backbone


def run(
    options: EvaluateOptions, data: Sequence[tuple[str, Data]], columns: Columns
) -> Generator[Event, None, Evaluation]:
    """Figures of every model with every prompt set on every DATA, all with one decode of the images."""
    subject = _read(options, data, columns)
    all_labels = [*subject.tests, *([] if subject.train is None else [subject.train])]
    yield InputsFound(sum(len(labels.truth) for labels in all_labels))
    runtime = choose_runtime(
        device=options.device, precision=options.precision, batch_size=options.batch_size, workers=options.workers
    )
    models = yield from _load(options, subject, runtime)
    images = yield from _embed(all_labels, models, subject.classes)
    tests, train = images[: len(subject.tests)], images[len(subject.tests) :]
    runs = tuple(_runs(tests, models, subject.classes))
    probes: list[Probe] = []
    if train:
        if train[0].skipped:
            yield Warned(f"{train[0].skipped:,} images of {train[0].name} cannot be used for the linear probe")
        probe.check_shots(train[0].truth, subject.classes.names, _numbers(options.shots), where=train[0].name)
        probes = yield from _probes(train[0], tests, models, options=options, labels=subject.classes.names)
    evaluation = Evaluation(CLASSIFICATION, subject.classes.names, runs, tuple(probes))
    names = names_of(evaluation)
    found = [*comparison.differences(runs, names)]
    if subject.other is not None:
        path = options.compare or ""
        found.append(
            comparison.compared(runs[0], subject.other, name=names[0], labels=subject.classes.names, path=path)
        )
    return Evaluation(CLASSIFICATION, subject.classes.names, runs, tuple(probes), tuple(found))


def _read(options: EvaluateOptions, data: Sequence[tuple[str, Data]], columns: Columns) -> Subject:
    if options.labels is not None and options.classifier is not None:
        raise UsageError("both labels and a classifier were given; give --labels FILE or --classifier FILE")
    if options.classifier is not None and options.prompts:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    if options.seeds < 1:
        raise UsageError(f"--seeds {options.seeds} is too small; give 1 or more")
    if options.linear_probe is None and options.shots != (None,):
        raise UsageError("--shots are for a linear probe; give --linear-probe TRAIN_DATA as well")
    classifier = options.classifier
    if classifier is not None and not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    prompt_sets = [load_prompts(prompts) for prompts in options.prompts or (DEFAULT_PROMPTS,)]
    classes = _given(options, classifier)
    read = [(name, read_labelled(one, columns)) for name, one in data]
    if classes is None:
        classes = classes_in([one for _, one in read])
    tests = tuple(Labels(name, one, truth_of(one, classes, allow_empty=options.allow_empty)) for name, one in read)
    train = None
    if options.linear_probe is not None:
        trained_on = read_labelled(Data(options.linear_probe), columns)
        train = Labels(options.linear_probe, trained_on, truth_of(trained_on, classes, allow_empty=True))
        probe.check_shots(train.truth, classes.names, _numbers(options.shots), where=options.linear_probe)
        train = _needed(train, options)
    other = None
    if options.compare is not None:
        other = comparison.read_other(options.compare)
        paths = [labelled.item.id for labelled in labelled_of(tests[0].read)]
        comparison.check_other(other, paths, path=options.compare)
    made_of = classifier or tuple(Recipe(classes.classes, prompt_set) for prompt_set in prompt_sets)
    return Subject(classes, tests, train, made_of, other)


def _needed(train: Labels, options: EvaluateOptions) -> Labels:
    """The images of the training data that its probes are drawn from, which with few shots are not all of it."""
    if None in options.shots:
        return train
    kept = probe.pool(train.truth, shots=_numbers(options.shots), seeds=options.seeds)
    labelled = list(labelled_of(train.read))
    return Labels(train.name, replace(train.read, entries=tuple(labelled[n] for n in kept)), train.truth[kept])


def _given(options: EvaluateOptions, classifier: Classifier | None) -> Classes | None:
    if classifier is not None:
        called = "the classifier" if isinstance(options.classifier, Classifier) else str(options.classifier)
        return given_classes([LabelledClass(label) for label in classifier.labels], where=called)
    if options.labels is None:
        return None
    where = "the labels" if isinstance(options.labels, Sequence) and not isinstance(options.labels, str) else None
    return given_classes(classes_from(options.labels), where=where or str(options.labels))


def _numbers(shots: Sequence[int | None]) -> list[int]:
    return [number for number in shots if number is not None]


def _load(options: EvaluateOptions, subject: Subject, runtime: Runtime) -> Generator[Event, None, list[Loaded]]:
    """All models; their names are looked up before the first is fetched."""
    made_of = subject.made_of
    stated = made_of.model if isinstance(made_of, Classifier) else backbones.DEFAULT_MODEL
    checkpoints = yield from backbones.fetch_all(options.model or (stated,))
    loaded = []
    for checkpoint in checkpoints:
        if isinstance(made_of, Classifier):
            classifiers, backbone = [made_of], load_for(made_of, checkpoint, runtime)
            yield ModelLoaded(checkpoint.name, str(runtime), str(backbone))
        else:
            cache = Cache() if options.cache else None
            classifiers, backbone = yield from classifiers_and_backbone(
                made_of, checkpoint=checkpoint, runtime=runtime, cache=cache, towers=(IMAGE,)
            )
        loaded.append(Loaded(checkpoint.name, tuple(classifiers), backbone))
    return loaded


def _embed(
    all_labels: Sequence[Labels], models: Sequence[Loaded], classes: Classes
) -> Generator[Event, None, list[EvaluatedImages]]:
    """The images of every DATA, with the embeddings of every model."""
    items = [labelled.item for labels in all_labels for labelled in labelled_of(labels.read)]
    entries, embeddings = yield from embed_images(items, backbones=[model.backbone for model in models])
    rest = iter(entries)
    start = 0
    images = []
    for labels in all_labels:
        mine = [next(rest) for _ in labels.truth]
        kept = np.array([not isinstance(entry, Skipped) for entry in mine], dtype=np.bool_)
        stop = start + int(kept.sum())
        if start == stop:
            first = next(entry for entry in mine if isinstance(entry, Skipped))
            raise UsageError(f"{labels.read.text}: no image can be read, such as {first.item.id}: {first.reason}")
        keys = [labelled.key for labelled in labelled_of(labels.read)]
        places = iter(labels.truth.tolist())
        named = [classes.names[next(places)] if isinstance(e, Labelled) else None for e in labels.read.entries]
        images.append(
            EvaluatedImages(
                name=labels.name,
                entries=tuple(_in_place(labels.read, mine)),
                truths=tuple(named),
                truth=labels.truth[kept],
                keys=tuple(key for key, keep in zip(keys, kept, strict=True) if keep),
                embeddings=tuple(one[start:stop] for one in embeddings),
            )
        )
        start = stop
    return images


def _in_place(read: LabelledData, decoded: Sequence[Entry]) -> Iterator[Entry]:
    rest = iter(decoded)
    for entry in read.entries:
        yield next(rest) if isinstance(entry, Labelled) else entry


def _runs(tests: Sequence[EvaluatedImages], models: Sequence[Loaded], classes: Classes) -> Iterator[Run]:
    for images in tests:
        for model, embeddings in zip(models, images.embeddings, strict=True):
            for classifier in model.classifiers:
                answers = zero_shot(embeddings, images.truth, classifier)
                yield evaluated(images, answers, labels=classes.names, model=model.name, prompts=classifier.prompts)


def _probes(
    train: EvaluatedImages,
    tests: Sequence[EvaluatedImages],
    models: Sequence[Loaded],
    *,
    options: EvaluateOptions,
    labels: Sequence[str],
) -> Generator[Event, None, list[Probe]]:
    """A probe for each model and number of shots, once for each seed, and its figures on every DATA."""
    # All images are the same whatever the seed: it only draws those that the regularisation is chosen on.
    plan = [
        (n, shots, range(1 if shots is None else options.seeds)) for n in range(len(models)) for shots in options.shots
    ]
    total, done = sum(len(seeds) for _, _, seeds in plan), 0
    probes = []
    for n, shots, seeds in plan:
        fitted = []
        for seed in seeds:
            chosen = probe.split(train.truth, shots=shots, seed=seed)
            fitted.append(probe.fit(train.embeddings[n], train.truth, chosen))
            done += 1
            yield ProbeFitted(done, total, shots)
        if not all(one.converged for one in fitted):
            yield Warned(f"the linear probe on {train.name} did not converge; its figures may be a little low")
        probes += [_probe(fitted, images, n, model=models[n].name, shots=shots, labels=labels) for images in tests]
    return probes


def _probe(
    fitted: Sequence[probe.Fitted],
    images: EvaluatedImages,
    n: int,
    *,
    model: str,
    shots: int | None,
    labels: Sequence[str],
) -> Probe:
    answers = [probe.probed(one, images.embeddings[n], images.truth) for one in fitted]
    values = [values_of(one, classes=len(labels)) for one in answers]
    return Probe(
        data=images.name,
        model=model,
        shots=shots,
        regularisation=tuple(one.strength for one in fitted),
        metrics={name: tuple(one[name] for one in values) for name in values[0]},
        intervals=measured(answers[0], classes=len(labels), keys=images.keys) if shots is None else None,
        converged=all(one.converged for one in fitted),
    )
