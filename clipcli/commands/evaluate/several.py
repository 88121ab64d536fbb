"""Evaluates models on images that may have several labels each, for `--multi-label`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, load_prompts
from clipcli.commands.evaluate import comparison
from clipcli.commands.evaluate.chunks import in_chunks
from clipcli.commands.evaluate.classes import Classes, classes_from_data, shared_prompt_warnings, truth_of
from clipcli.commands.evaluate.images import split_by_data
from clipcli.commands.evaluate.labels import classes_from_settings
from clipcli.commands.evaluate.models import ModelWithClassifiers, build_classifiers
from clipcli.commands.evaluate.results import Evaluation, Float32Array, SeveralRun
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.several_metrics import estimate_several, metrics_of_labels
from clipcli.commands.evaluate.tables import run_names
from clipcli.commands.given_classes import check_given
from clipcli.data.columns import Columns
from clipcli.data.several import SeveralData, WithLabels, read_several
from clipcli.data.task import SEVERAL_LABELS
from clipcli.data.tree import Data
from clipcli.encoding.embed import embed_images
from clipcli.events import Event, InputsFound, Warned
from clipcli.notices import Notices
from clipcli.records import Entry, Skipped
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.f1 import Truth
from clipcli.scoring.several import several_scores, threshold_of


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """One DATA under its name, with the true labels `[N, C]` of each image whose labels are known."""

    name: str
    data: SeveralData
    truth: Truth


def run(
    options: EvaluateSettings, data: Sequence[tuple[str, Data]], columns: Columns, notices: Notices
) -> Generator[Event, None, Evaluation]:
    """Evaluate every model with every prompt set on every DATA; each image is decoded once for all models.

    Raises `UsageError` for settings that do not fit together, and the errors of data, labels and models.
    """
    check_given(options)
    classifier = options.classifier
    if classifier is not None and not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    classes = classes_from_settings(options, classifier, notices)
    read = [(name, read_several(one, columns)) for name, one in data]
    if classes is None:
        classes = classes_from_data([one.each_label() for _, one in read], notices, keep_names=options.keep_names)
    tables = [_table(name, one, classes, allow_empty=options.allow_empty) for name, one in read]
    yield from notices.events()
    yield from map(Warned, shared_prompt_warnings(classes))
    prompt_sets = [load_prompts(prompts) for prompts in options.prompts or (DEFAULT_PROMPTS,)]
    source = classifier or tuple(PromptedClasses(classes.classes, prompt_set) for prompt_set in prompt_sets)
    items = [image.item for table in tables for image in table.data.images]
    yield InputsFound(len(items))
    models = yield from build_classifiers(options, source, items, vocabulary=True)
    entries, embeddings = yield from embed_images(items, models=[one.model for one in models])
    sizes = [(table.data.text, len(table.truth)) for table in tables]
    parts = split_by_data(entries, embeddings, sizes=sizes)
    runs = tuple(
        run
        for table, (of_table, found) in zip(tables, parts, strict=True)
        for run in _runs(table, of_table, found, models, classes, at=options.multi_label_at)
    )
    facts = models[0].facts
    evaluation = Evaluation(SEVERAL_LABELS, classes.names, runs, facts.device, facts.precision)
    return replace(evaluation, differences=comparison.differences(runs, run_names(evaluation)))


def _table(name: str, data: SeveralData, classes: Classes, *, allow_empty: bool) -> LabelledTable:
    """The data with the true labels of each image. Raises as `truth_of`."""
    indices = iter(truth_of(data.each_label(), classes, allow_empty=allow_empty).tolist())
    truth = np.zeros((len(data.images), len(classes)), np.bool_)
    for row, image in zip(truth, data.images, strict=True):
        row[[next(indices) for _ in image.names]] = True
    return LabelledTable(name, data, truth)


def _runs(
    table: LabelledTable,
    of_table: Sequence[Entry],
    embeddings: Sequence[Float32Array],
    models: Sequence[ModelWithClassifiers],
    classes: Classes,
    *,
    at: float | None,
) -> Iterator[SeveralRun]:
    """Evaluate each classifier of each model on one DATA, of which `of_table` are the images with known labels.

    `at` is the threshold that was given; `None` for that of each classifier.
    """
    was_read = np.array([not isinstance(entry, Skipped) for entry in of_table], dtype=np.bool_)
    keys = [image.key for image, read in zip(table.data.images, was_read, strict=True) if read]
    truth, rest = table.truth[was_read], iter(of_table)
    entries = tuple(next(rest) if isinstance(entry, WithLabels) else entry for entry in table.data.entries)
    for model, found in zip(models, embeddings, strict=True):
        for classifier in model.classifiers:
            threshold = threshold_of(classifier) if at is None else at
            scores, given = _given(found, classifier, at=threshold)
            yield SeveralRun(
                data=table.name,
                model=model.facts.name,
                fingerprint=model.facts.fingerprint,
                prompts=classifier.prompts,
                entries=entries,
                truth=truth,
                scores=scores,
                given=given,
                threshold=threshold,
                metrics=estimate_several(scores, truth, given, keys=keys),
                classes=metrics_of_labels(classes.names, scores, truth, given),
            )


def _given(embeddings: Float32Array, classifier: Classifier, *, at: float) -> tuple[Float32Array, Truth]:
    """The scores `[M, C]` of all labels, and those that are given."""
    scores = np.concatenate([several_scores(embeddings[rows], classifier) for rows in in_chunks(len(embeddings))])
    return scores, scores >= at
