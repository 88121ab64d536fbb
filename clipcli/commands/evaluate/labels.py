"""Evaluates models on images with labels: zero-shot, and with linear probes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.given import is_file, read_classes
from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, load_prompts
from clipcli.classes.taxonomy import in_taxonomy
from clipcli.classes.tree import tree_of
from clipcli.commands.evaluate import comparison
from clipcli.commands.evaluate.classes import (
    Classes,
    classes_from_data,
    classes_from_labels,
    shared_prompt_warnings,
    truth_of,
)
from clipcli.commands.evaluate.classification import evaluate_run, predict_zero_shot
from clipcli.commands.evaluate.hierarchy import measure_hierarchy
from clipcli.commands.evaluate.images import LabelledSet, embed_labelled_sets
from clipcli.commands.evaluate.models import open_models
from clipcli.commands.evaluate.probes import (
    ProbeTraining,
    check_probe_settings,
    fit_probes,
    overlap_warnings,
    read_training,
)
from clipcli.commands.evaluate.refined import with_refined
from clipcli.commands.evaluate.results import Difference, EvaluatedImages, Evaluation, Probe, Run
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.tables import run_names
from clipcli.commands.evaluate.unknown import embed_unknown, evaluate_unknown
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.labelled import labelled_of, named_twice, read_labelled
from clipcli.data.task import CLASSIFICATION
from clipcli.data.tree import Data
from clipcli.encoding.embed import towers_for
from clipcli.encoding.model import Model
from clipcli.errors import ModelUnavailable, UsageError, some_of
from clipcli.events import Event, InputsFound, Warned
from clipcli.memory.models import ModelFacts
from clipcli.notices import Notices
from clipcli.records import ImageItem
from clipcli.scoring.build import add_vocabulary, build, build_with_vocabulary, check_belongs
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import check_refinable
from clipcli.scoring.tree import check_back_off


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that is read and checked before a model is loaded.

    `class_source` is a classifier, or classes with each prompt set that classifiers are built from. `other_labels` are
    those of `--compare`, by image path, and `unknown` the images of no class.
    """

    classes: Classes
    tests: tuple[LabelledSet, ...]
    training: ProbeTraining | None
    class_source: Classifier | tuple[PromptedClasses, ...]
    other_labels: Mapping[str, str | None] | None
    unknown: tuple[ImageItem, ...]


@dataclass(frozen=True, slots=True)
class ModelWithClassifiers:
    """A model, and its classifiers: one for each prompt set."""

    model: Model
    classifiers: tuple[Classifier, ...]

    @property
    def facts(self) -> ModelFacts:
        """The model's facts, such as its name and fingerprint. Raises `ModelUnavailable` before they are known."""
        if self.model.facts is None:
            raise ModelUnavailable(f"nothing is known of {self.model.name}; load it first")
        return self.model.facts


def run(
    options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns, notices: Notices
) -> Generator[Event, None, Evaluation]:
    """Evaluate every model with every prompt set on every DATA; each image is decoded once for all models.

    Raises `UsageError` for settings that do not fit together, and the errors of data, labels and models.
    """
    inputs = _read(options, data, columns, notices)
    yield from notices.events()
    yield from map(Warned, _warnings(inputs, options))
    training, names = inputs.training, inputs.classes.names
    sets = [*inputs.tests, *([] if training is None else [training.needed])]
    yield InputsFound(sum(len(labelled_set.truth) for labelled_set in sets) + len(inputs.unknown))
    items = [labelled.item for labelled_set in sets for labelled in labelled_of(labelled_set.data)]
    needs_words = options.unknown_folder is not None
    models = yield from build_classifiers(options, inputs.class_source, items, vocabulary=needs_words)
    images = yield from embed_labelled_sets(sets, [one.model for one in models], class_names=names)
    tests = images[: len(inputs.tests)]
    runs = yield from _evaluate_runs(tests, models, inputs.classes, options)
    if options.unknown_folder is not None:
        runs = yield from _with_unknown(runs, tests, models, inputs.unknown, folder=options.unknown_folder)
    probes: list[Probe] = []
    if training is not None:
        model_names = [one.model.name for one in models]
        probes = yield from fit_probes(training, images[-1], tests, models=model_names, options=options, labels=names)
    first = models[0].facts
    evaluation = Evaluation(CLASSIFICATION, names, runs, first.device, first.precision, tuple(probes))
    return replace(evaluation, differences=_differences(evaluation, runs, inputs, options))


def _read(options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns, notices: Notices) -> Inputs:
    """Read and check labels, prompts, data, training data and the predictions to compare with."""
    if options.labels is not None and options.classifier is not None:
        raise UsageError("both labels and a classifier were given; give --labels FILE or --classifier FILE")
    if options.classifier is not None and options.prompts:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    if options.classifier is not None and options.taxonomy is not None:
        raise UsageError("a classifier has its groups in it; give --taxonomy with --labels, not with --classifier")
    check_probe_settings(options)
    classifier = options.classifier
    if classifier is not None and not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    prompt_sets = [load_prompts(prompts) for prompts in options.prompts or (DEFAULT_PROMPTS,)]
    classes = classes_from_settings(options, classifier, notices)
    labelled_data = [(name, read_labelled(one, columns)) for name, one in data]
    if classes is None:
        classes = classes_from_data([one for _, one in labelled_data], notices, keep_names=options.keep_names)
        if options.taxonomy is not None:
            classes = replace(classes, classes=in_taxonomy(classes.classes, notices))
    if options.back_off is not None:
        check_back_off(classifier.tree if classifier else tree_of(classes.classes), "softmax")
    tests = tuple(
        LabelledSet(name, one, truth_of(one, classes, allow_empty=options.allow_empty)) for name, one in labelled_data
    )
    training = None if options.linear_probe is None else read_training(options, columns, classes, notices)
    other_labels = None if options.compare is None else comparison.read_other_labels(options.compare)
    class_source = classifier or tuple(PromptedClasses(classes.classes, prompt_set) for prompt_set in prompt_sets)
    unknown = _read_unknown(options, notices)
    return Inputs(classes, tests, training, class_source, other_labels, unknown)


def _read_unknown(options: EvaluateSettings, notices: Notices) -> tuple[ImageItem, ...]:
    """The images of no class."""
    if options.unknown_folder is None:
        return ()
    return tuple(list_images([options.unknown_folder], notices=notices, exclude=options.exclude))


def classes_from_settings(options: EvaluateSettings, classifier: Classifier | None, notices: Notices) -> Classes | None:
    """The classes of the classifier or of `--labels`; `None` if there is neither."""
    if classifier is not None:
        where = "the classifier" if isinstance(options.classifier, Classifier) else str(options.classifier)
        return classes_from_labels([LabelledClass(label) for label in classifier.labels], where=where)
    if options.labels is None:
        return None
    classes = read_classes(
        options.labels,
        notices,
        keep_names=options.keep_names,
        keep_duplicates=options.keep_duplicates,
        taxonomy=options.taxonomy,
    )
    return classes_from_labels(classes, where=str(options.labels) if is_file(options.labels) else "the labels")


def _warnings(inputs: Inputs, options: EvaluateSettings) -> Iterator[str]:
    """Warnings about inputs that may be a mistake. Raises `BadFile` if `--compare` is not about these images."""
    yield from shared_prompt_warnings(inputs.classes)
    for test in inputs.tests:
        with_several_labels = named_twice(test.data)
        if with_several_labels:
            image, names = next(iter(with_several_labels.items()))
            count = len(with_several_labels)
            more = f", and {count - 1:,} more images have several" if count > 1 else ""
            yield f"{test.data.text}: {image} has the labels {some_of(names)}{more}; each counts as an image"
    if inputs.training is not None:
        yield from overlap_warnings(inputs.training, inputs.tests)
    if inputs.other_labels is not None and options.compare is not None:
        images = [labelled.item.id for labelled in labelled_of(inputs.tests[0].data)]
        unknown = comparison.check_other_labels(
            inputs.other_labels, images, labels=inputs.classes.names, path=options.compare
        )
        if unknown:
            yield f"{options.compare}: no class is called {some_of(unknown)}; such labels count as wrong"


def build_classifiers(
    options: EvaluateSettings,
    source: Classifier | tuple[PromptedClasses, ...],
    items: Sequence[ImageItem],
    *,
    vocabulary: bool,
) -> Generator[Event, None, list[ModelWithClassifiers]]:
    """Get all models with their classifiers; class embeddings that memory does not have are encoded now.

    With `vocabulary` each classifier has the common words to compare with.
    """
    default_model = source.model if isinstance(source, Classifier) else DEFAULT_MODEL
    models = yield from open_models(options.model or (default_model,), options)
    with_classifiers = []
    for model in models:
        if isinstance(source, Classifier):
            yield from check_belongs(source, model=model)
            classifiers = [(yield from add_vocabulary(source, model=model)) if vocabulary else source]
        else:
            builder = build_with_vocabulary if vocabulary else build
            classifiers = yield from builder(source, model=model, towers=towers_for(items, model=model))
        if options.refine:
            for classifier in classifiers:
                check_refinable(classifier)
        with_classifiers.append(ModelWithClassifiers(model, tuple(classifiers)))
    return with_classifiers


def _evaluate_runs(
    tests: Sequence[EvaluatedImages],
    models: Sequence[ModelWithClassifiers],
    classes: Classes,
    options: EvaluateSettings,
) -> Generator[Event, None, tuple[Run, ...]]:
    """Evaluate each classifier of each model on each DATA, and with `--refine` what is refined of it there."""
    runs = []
    for images in tests:
        for model, embeddings in zip(models, images.embeddings, strict=True):
            classifiers: Sequence[Classifier] = model.classifiers
            if options.refine:
                classifiers = yield from with_refined(classifiers, embeddings, data=images.name)
            for classifier in classifiers:
                run = evaluate_run(
                    images,
                    predict_zero_shot(embeddings, images.truth, classifier),
                    labels=classes.names,
                    model=model.facts.name,
                    fingerprint=model.facts.fingerprint,
                    prompts=classifier.prompts,
                    calibration=classifier.calibration,
                )
                hierarchy = measure_hierarchy(
                    embeddings, run.predictions, classifier, back_off_at=options.back_off, keys=images.keys
                )
                runs.append(replace(run, hierarchy=hierarchy))
    return tuple(runs)


def _with_unknown(
    runs: Sequence[Run],
    tests: Sequence[EvaluatedImages],
    models: Sequence[ModelWithClassifiers],
    items: Sequence[ImageItem],
    *,
    folder: str,
) -> Generator[Event, None, tuple[Run, ...]]:
    """The runs with how well each tells the images of no class, `items`, which are embedded now."""
    entries, parts = yield from embed_unknown(items, [one.model for one in models], folder=folder)
    each = (
        evaluate_unknown(known, unknown, classifier, folder=folder, entries=entries)
        for images in tests
        for model, known, unknown in zip(models, images.embeddings, parts, strict=True)
        for classifier in model.classifiers
    )
    return tuple(replace(run, unknown=found) for run, found in zip(runs, each, strict=True))


def _differences(
    evaluation: Evaluation, runs: Sequence[Run], inputs: Inputs, options: EvaluateSettings
) -> tuple[Difference, ...]:
    """The differences between the runs, and of the first run to the predictions of `--compare`."""
    names = run_names(evaluation)
    differences = comparison.differences(runs, names)
    if inputs.other_labels is None:
        return differences
    to_other = comparison.compare_top1(
        runs[0], inputs.other_labels, name=names[0], labels=evaluation.labels, path=options.compare or ""
    )
    return (*differences, to_other)
