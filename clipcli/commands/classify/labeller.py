"""How the images of a run get their labels: the best, or what `--unknown` and `--multi-label` make of the scores."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.classify.settings import ClassifySettings, labels_written
from clipcli.commands.classify.several import check_several, decide_several_labels
from clipcli.commands.classify.unknowns import check_unknown, look_for_unknown, names_of
from clipcli.errors import UsageError
from clipcli.events import Event, Warned
from clipcli.records import Decided, Embedded, Scores
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.decide import decide
from clipcli.scoring.score import ONE_CLASS, UNCALIBRATED, choose_score, score


@dataclass(frozen=True, slots=True)
class Labeller:
    """Decides which labels images have: decisions hold indices into `names`, the labels and what else is an answer."""

    names: tuple[str, ...]
    decide: Callable[[Embedded], Decided]


def check_labelling(options: ClassifySettings, class_source: Classifier | PromptedClasses) -> None:
    """Check the settings that say which labels images get. Raises `UsageError` for those that do not fit together."""
    check_several(options)
    count = len(labels_of(class_source))
    if not 1 <= options.top_k <= count:
        raise UsageError(f"--top-k {options.top_k} does not fit {count} classes; choose from 1 to {count}")
    check_unknown(options, class_source)


def labeller_of(classifier: Classifier, options: ClassifySettings) -> Generator[Event, None, Labeller]:
    """The labeller for a classifier. Yields warnings about scores that mean little."""
    if options.multi_label:
        return Labeller(classifier.labels, decide_several_labels(classifier, options))
    kind = choose_score(options.score, classifier)
    if kind == "softmax" and len(classifier.labels) == 1 and not options.unknown:
        yield Warned(ONE_CLASS)
    if kind != "softmax" and classifier.calibration is not None:
        yield Warned(UNCALIBRATED)

    def decide_best(images: Embedded) -> Decided:
        scores = Scores(images.entries, score(images.embeddings[0], classifier, kind=kind))
        decided = decide(scores, top_k=labels_written(options))
        return look_for_unknown(decided, images.embeddings[0], classifier, options=options, kind=kind)

    return Labeller(names_of(classifier, options), decide_best)


def labels_of(class_source: Classifier | PromptedClasses) -> tuple[str, ...]:
    """The labels of all classes, in order."""
    if isinstance(class_source, Classifier):
        return class_source.labels
    return tuple(labelled.label for labelled in class_source.classes)
