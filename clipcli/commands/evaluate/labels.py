"""Evaluates models on images with labels: zero-shot, and with linear probes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
from clipcli.commands.evaluate.models import ModelWithClassifiers, build_classifiers
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
from clipcli.commands.evaluate.unknown import UnknownImages, embed_unknown, evaluate_unknown
from clipcli.commands.given_classes import check_given
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.labelled import labelled_of, read_labelled, warnings_of_several_names
from clipcli.data.task import CLASSIFICATION
from clipcli.data.tree import Data
from clipcli.errors import UsageError, some_of
from clipcli.events import Event, InputsFound, Warned
from clipcli.notices import Notices
from clipcli.records import ImageItem
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
    unknown = None
    if options.unknown_folder is not None:
        unknown = yield from embed_unknown(inputs.unknown, [one.model for one in models], folder=options.unknown_folder)
    runs = yield from _evaluate_runs(tests, models, options, labels=names, unknown=unknown)
    probes: list[Probe] = []
    if training is not None:
        model_names = [one.model.name for one in models]
        probes = yield from fit_probes(training, images[-1], tests, models=model_names, options=options, labels=names)
    first = models[0].facts
    evaluation = Evaluation(CLASSIFICATION, names, runs, first.device, first.precision, tuple(probes))
    return replace(evaluation, differences=_differences(evaluation, runs, inputs, options))


def _read(options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns, notices: Notices) -> Inputs:
    """Read and check labels, prompts, data, training data and the predictions to compare with."""
    check_given(options)
    check_probe_settings(options)
    classifier = options.classifier
    if classifier is not None and not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    if options.refine and classifier is not None:
        check_refinable(classifier)
    prompt_sets = [load_prompts(prompts) for prompts in options.prompts or (DEFAULT_PROMPTS,)]
    classes = classes_from_settings(options, classifier, notices)
    labelled_data = [(name, read_labelled(one, columns)) for name, one in data]
    if classes is None:
        classes = classes_from_data(
            [one for _, one in labelled_data],
            notices,
            keep_names=options.keep_names,
            one_is_enough=options.unknown_folder is not None,
        )
        if options.taxonomy is not None:
            classes = replace(classes, classes=in_taxonomy(classes.classes, notices))
    if len(classes) == 1:
        _check_one_class(options)
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


def _check_one_class(options: EvaluateSettings) -> None:
    """Raise `UsageError` for settings that need classes to choose from."""
    flags = {"--compare": options.compare, "--linear-probe": options.linear_probe, "--back-off": options.back_off}
    for flag, value in flags.items():
        if value is not None:
            raise UsageError(f"{flag} needs at least two classes, and there is one alone; leave it out")


def _read_unknown(options: EvaluateSettings, notices: Notices) -> tuple[ImageItem, ...]:
    """The images of no class."""
    if options.unknown_folder is None:
        return ()
    return tuple(list_images([options.unknown_folder], notices=notices, exclude=options.exclude))


def classes_from_settings(options: EvaluateSettings, classifier: Classifier | None, notices: Notices) -> Classes | None:
    """The classes of the classifier or of `--labels`; `None` if there is neither.

    One class is enough where images of no class are told from it.
    """
    alone = options.unknown_folder is not None
    if classifier is not None:
        where = "the classifier" if isinstance(options.classifier, Classifier) else str(options.classifier)
        return classes_from_labels(
            [LabelledClass(label) for label in classifier.labels], where=where, one_is_enough=alone
        )
    if options.labels is None:
        return None
    classes = read_classes(
        options.labels,
        notices,
        keep_names=options.keep_names,
        keep_duplicates=options.keep_duplicates,
        taxonomy=options.taxonomy,
    )
    where = str(options.labels) if is_file(options.labels) else "the labels"
    return classes_from_labels(classes, where=where, one_is_enough=alone)


def _warnings(inputs: Inputs, options: EvaluateSettings) -> Iterator[str]:
    """Warnings about inputs that may be a mistake. Raises `BadFile` if `--compare` is not about these images."""
    yield from shared_prompt_warnings(inputs.classes)
    for test in inputs.tests:
        yield from warnings_of_several_names(test.data)
    if inputs.training is not None:
        yield from overlap_warnings(inputs.training, inputs.tests)
    if inputs.other_labels is not None and options.compare is not None:
        images = [labelled.item.id for labelled in labelled_of(inputs.tests[0].data)]
        unknown = comparison.check_other_labels(
            inputs.other_labels, images, labels=inputs.classes.names, path=options.compare
        )
        if unknown:
            yield f"{options.compare}: no class is called {some_of(unknown)}; such labels count as wrong"


def _evaluate_runs(
    tests: Sequence[EvaluatedImages],
    models: Sequence[ModelWithClassifiers],
    options: EvaluateSettings,
    *,
    labels: Sequence[str],
    unknown: UnknownImages | None,
) -> Generator[Event, None, tuple[Run, ...]]:
    """Evaluate each classifier of each model on each DATA, and with `--refine` what is refined of it there.

    Those that are given images of no class, `unknown`, are measured on these too.
    """
    runs = []
    for images in tests:
        for n, (model, embeddings) in enumerate(zip(models, images.embeddings, strict=True)):
            classifiers: Sequence[Classifier] = model.classifiers
            if options.refine:
                classifiers = yield from with_refined(classifiers, embeddings, data=images.name)
            for classifier in classifiers:
                run = evaluate_run(
                    images,
                    predict_zero_shot(embeddings, images.truth, classifier),
                    labels=labels,
                    model=model.facts.name,
                    fingerprint=model.facts.fingerprint,
                    prompts=classifier.prompts,
                    refined_on=classifier.refined_on,
                    calibration=classifier.calibration,
                )
                hierarchy = measure_hierarchy(
                    embeddings, run.predictions, classifier, back_off_at=options.back_off, keys=images.keys
                )
                found = None if unknown is None else evaluate_unknown(embeddings, unknown, classifier, model=n)
                runs.append(replace(run, hierarchy=hierarchy, unknown=found))
    return tuple(runs)


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
