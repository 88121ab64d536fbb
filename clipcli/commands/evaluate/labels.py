"""`evaluate` on images whose classes are known: zero-shot by model and prompt set, and linear probes."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime, choose_runtime
from clipcli.backbones.towers import IMAGE
from clipcli.classes.labels import LabelledClass, classes_from
from clipcli.classes.prompts import DEFAULT_PROMPTS, Recipe, load_prompts
from clipcli.commands.evaluate import comparison
from clipcli.commands.evaluate.classes import Classes, classes_in, given_classes, same_prompts, truth_of
from clipcli.commands.evaluate.classification import evaluated, zero_shot
from clipcli.commands.evaluate.embed_labelled import Labels, embed_labelled
from clipcli.commands.evaluate.probes import Training, check_probe, fit_probes, read_training, seen_in_training
from clipcli.commands.evaluate.results import EvaluatedImages, Evaluation, Probe, Run
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.tables import names_of
from clipcli.data.labelled.read import CLASSIFICATION, read_labelled
from clipcli.data.labelled.records import Columns, labelled_of, named_twice
from clipcli.data.pairs.pair import Data, some_of
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, ModelLoaded, Warned
from clipcli.memory.cache import Cache
from clipcli.scoring.build import classifiers_and_backbone, load_for
from clipcli.scoring.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Subject:
    """All that was read and checked before a model is loaded; `made_of` gives the class embeddings."""

    classes: Classes
    tests: tuple[Labels, ...]
    training: Training | None
    made_of: Classifier | tuple[Recipe, ...]
    other: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with the classifiers to try on it."""

    name: str
    classifiers: tuple[Classifier, ...]
    backbone: Backbone


def run(
    options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns
) -> Generator[Event, None, Evaluation]:
    """Figures of every model with every prompt set on every DATA, all with one decode of the images."""
    subject = _read(options, data, columns)
    yield from map(Warned, _doubts(subject, options))
    training = subject.training
    all_labels = [*subject.tests, *([] if training is None else [training.needed])]
    yield InputsFound(sum(len(labels.truth) for labels in all_labels))
    runtime = choose_runtime(
        device=options.device, precision=options.precision, batch_size=options.batch_size, workers=options.workers
    )
    models = yield from _load(options, subject, runtime)
    names = subject.classes.names
    images = yield from embed_labelled(all_labels, [model.backbone for model in models], names=names)
    tests = images[: len(subject.tests)]
    runs = tuple(_runs(tests, models, subject.classes))
    probes: list[Probe] = []
    if training is not None:
        called = [model.name for model in models]
        probes = yield from fit_probes(training, images[-1], tests, models=called, options=options, labels=names)
    evaluation = Evaluation(CLASSIFICATION, names, runs, runtime.device, runtime.precision, tuple(probes))
    called = names_of(evaluation)
    found = [*comparison.differences(runs, called)]
    if subject.other is not None:
        path = options.compare or ""
        found.append(comparison.compared(runs[0], subject.other, name=called[0], labels=names, path=path))
    return replace(evaluation, differences=tuple(found))


def _read(options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns) -> Subject:
    if options.labels is not None and options.classifier is not None:
        raise UsageError("both labels and a classifier were given; give --labels FILE or --classifier FILE")
    if options.classifier is not None and options.prompts:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    check_probe(options)
    classifier = options.classifier
    if classifier is not None and not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    prompt_sets = [load_prompts(prompts) for prompts in options.prompts or (DEFAULT_PROMPTS,)]
    classes = _given(options, classifier)
    read = [(name, read_labelled(one, columns)) for name, one in data]
    if classes is None:
        classes = classes_in([one for _, one in read])
    tests = tuple(Labels(name, one, truth_of(one, classes, allow_empty=options.allow_empty)) for name, one in read)
    training = None if options.linear_probe is None else read_training(options, columns, classes)
    other = None if options.compare is None else comparison.read_other(options.compare)
    made_of = classifier or tuple(Recipe(classes.classes, prompt_set) for prompt_set in prompt_sets)
    return Subject(classes, tests, training, made_of, other)


def _doubts(subject: Subject, options: EvaluateSettings) -> Iterator[str]:
    """What may not be meant so, a sentence each. Raises `BadFile` where --compare does not fit."""
    yield from same_prompts(subject.classes)
    for labels in subject.tests:
        twice = named_twice(labels.read)
        for image, names in itertools.islice(twice.items(), 1):
            more = f", and {len(twice) - 1:,} more images have several" if len(twice) > 1 else ""
            yield f"{labels.read.text}: {image} has the labels {some_of(names)}{more}; each counts as an image"
    if subject.training is not None:
        yield from seen_in_training(subject.training, subject.tests)
    if subject.other is not None and options.compare is not None:
        paths = [labelled.item.id for labelled in labelled_of(subject.tests[0].read)]
        names = subject.classes.names
        strange = comparison.check_other(subject.other, paths, labels=names, path=options.compare)
        if strange:
            yield f"{options.compare}: no class is called {some_of(strange)}; such labels count as wrong"


def _given(options: EvaluateSettings, classifier: Classifier | None) -> Classes | None:
    if classifier is not None:
        called = "the classifier" if isinstance(options.classifier, Classifier) else str(options.classifier)
        return given_classes([LabelledClass(label) for label in classifier.labels], where=called)
    if options.labels is None:
        return None
    where = "the labels" if isinstance(options.labels, Sequence) and not isinstance(options.labels, str) else None
    return given_classes(classes_from(options.labels), where=where or str(options.labels))


def _load(options: EvaluateSettings, subject: Subject, runtime: Runtime) -> Generator[Event, None, list[Loaded]]:
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


def _runs(tests: Sequence[EvaluatedImages], models: Sequence[Loaded], classes: Classes) -> Iterator[Run]:
    for images in tests:
        for model, embeddings in zip(models, images.embeddings, strict=True):
            for classifier in model.classifiers:
                answers = zero_shot(embeddings, images.truth, classifier)
                yield evaluated(
                    images,
                    answers,
                    labels=classes.names,
                    model=model.name,
                    fingerprint=model.backbone.fingerprint,
                    prompts=classifier.prompts,
                )
