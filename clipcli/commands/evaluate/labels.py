"""`evaluate` on images whose classes are known: zero-shot by model and prompt set, and linear probes."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.labels import LabelledClass, classes_from
from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, load_prompts
from clipcli.commands.evaluate import comparison
from clipcli.commands.evaluate.classes import Classes, classes_in, given_classes, same_prompts, truth_of
from clipcli.commands.evaluate.classification import evaluated, zero_shot
from clipcli.commands.evaluate.images import Labels, embed_labelled
from clipcli.commands.evaluate.models import memory_of, opened
from clipcli.commands.evaluate.probes import Training, check_probe, fit_probes, read_training, seen_in_training
from clipcli.commands.evaluate.results import EvaluatedImages, Evaluation, Probe, Run
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.tables import names_of
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, named_twice, read_labelled
from clipcli.data.task import CLASSIFICATION
from clipcli.data.tree import Data
from clipcli.encoding.embed import towers_for
from clipcli.encoding.model import Model
from clipcli.errors import ModelUnavailable, UsageError, some_of
from clipcli.events import Event, InputsFound, Warned
from clipcli.memory.models import ModelFacts
from clipcli.records import ImageItem
from clipcli.scoring.build import build, check_belongs
from clipcli.scoring.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Subject:
    """All that was read and checked before a model is loaded; `made_of` gives the class embeddings."""

    classes: Classes
    tests: tuple[Labels, ...]
    training: Training | None
    made_of: Classifier | tuple[PromptedClasses, ...]
    other: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A model with the classifiers to try on it; `model` is known by the time the images are embedded."""

    model: Model
    classifiers: tuple[Classifier, ...]

    @property
    def facts(self) -> ModelFacts:
        """What scores and files need of the model. Raises `ModelUnavailable` before it is known."""
        if self.model.facts is None:
            raise ModelUnavailable(f"nothing is known of {self.model.name}; load it first")
        return self.model.facts


def run(
    options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns
) -> Generator[Event, None, Evaluation]:
    """Figures of every model with every prompt set on every DATA, all with one decode of the images."""
    subject = _read(options, data, columns)
    yield from map(Warned, _doubts(subject, options))
    training = subject.training
    all_labels = [*subject.tests, *([] if training is None else [training.needed])]
    yield InputsFound(sum(len(labels.truth) for labels in all_labels))
    items = [labelled.item for labels in all_labels for labelled in labelled_of(labels.read)]
    trials = yield from _trials(options, subject, items)
    names = subject.classes.names
    images = yield from embed_labelled(all_labels, [trial.model for trial in trials], names=names)
    tests = images[: len(subject.tests)]
    runs = tuple(_runs(tests, trials, subject.classes))
    probes: list[Probe] = []
    if training is not None:
        called = [trial.model.name for trial in trials]
        probes = yield from fit_probes(training, images[-1], tests, models=called, options=options, labels=names)
    first = trials[0].facts
    evaluation = Evaluation(CLASSIFICATION, names, runs, first.device, first.precision, tuple(probes))
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
    made_of = classifier or tuple(PromptedClasses(classes.classes, prompt_set) for prompt_set in prompt_sets)
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


def _trials(
    options: EvaluateSettings, subject: Subject, items: Sequence[ImageItem]
) -> Generator[Event, None, list[Trial]]:
    """All models with their classifiers; those that are not in memory are made now."""
    made_of = subject.made_of
    stated = made_of.model if isinstance(made_of, Classifier) else DEFAULT_MODEL
    models = yield from opened(options.model or (stated,), options, memory=memory_of(options))
    trials = []
    for model in models:
        if isinstance(made_of, Classifier):
            yield from check_belongs(made_of, model=model)
            classifiers = [made_of]
        else:
            classifiers = yield from build(made_of, model=model, towers=towers_for(items, model=model))
        trials.append(Trial(model, tuple(classifiers)))
    return trials


def _runs(tests: Sequence[EvaluatedImages], trials: Sequence[Trial], classes: Classes) -> Iterator[Run]:
    for images in tests:
        for trial, embeddings in zip(trials, images.embeddings, strict=True):
            for classifier in trial.classifiers:
                answers = zero_shot(embeddings, images.truth, classifier)
                yield evaluated(
                    images,
                    answers,
                    labels=classes.names,
                    model=trial.facts.name,
                    fingerprint=trial.facts.fingerprint,
                    prompts=classifier.prompts,
                )
