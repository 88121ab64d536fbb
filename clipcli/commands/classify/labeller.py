"""How the images of a run get their labels: the best, or what other settings make of the scores.

These are `--back-off`, `--unknown` and `--multi-label`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from clipcli.classes.prompts import PromptedClasses
from clipcli.classes.tree import tree_of, written_path
from clipcli.commands.classify.settings import ClassifySettings, labels_written
from clipcli.commands.classify.several import check_several, decide_several_labels
from clipcli.commands.classify.unknowns import check_unknown, look_for_unknown
from clipcli.errors import UsageError
from clipcli.events import Event, Noted, Warned
from clipcli.records import Decided, Embedded, Scores, Skipped
from clipcli.scoring.blocks import blocks
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.decide import decide
from clipcli.scoring.score import ONE_CLASS, UNCALIBRATED, choose_score, score
from clipcli.scoring.several import check_plain
from clipcli.scoring.tree import backed_off, check_back_off


@dataclass(frozen=True, slots=True)
class Labeller:
    """Decides which labels images have.

    Decisions hold indices into `names`: those of the classes, of their groups, and of unknown images. `paths` has the
    `label_path` of each, where classes are in groups.
    """

    names: tuple[str, ...]
    decide: Callable[[Embedded], Decided]
    paths: Sequence[str | None] | None = None


def check_labelling(options: ClassifySettings, class_source: Classifier | PromptedClasses) -> None:
    """Check the settings that say which labels images get. Raises `UsageError` for those that do not fit together."""
    check_several(options)
    if options.multi_label and isinstance(class_source, Classifier):
        check_plain(class_source)
    labels = labels_of(class_source)
    tree = class_source.tree if isinstance(class_source, Classifier) else tree_of(class_source.classes)
    count = len(labels)
    if not 1 <= options.top_k <= count:
        raise UsageError(f"--top-k {options.top_k} does not fit {count} classes; choose from 1 to {count}")
    check_unknown(options, labels if tree is None else tree.names(labels))
    if options.back_off is not None:
        check_back_off(tree, "softmax" if options.score == "auto" else options.score)


def labeller_of(classifier: Classifier, options: ClassifySettings) -> Generator[Event, None, Labeller]:
    """The labeller for a classifier. Yields warnings about scores that mean little. Raises as `check_labelling`."""
    if options.multi_label:
        if classifier.tree is not None:
            yield Noted("The labels are in groups, and with --multi-label each is written without them.")
        return Labeller(classifier.labels, decide_several_labels(classifier, options))
    kind, tree = choose_score(options.score, classifier), classifier.tree
    if options.back_off is not None:
        check_back_off(tree, kind)
    if kind == "softmax" and len(classifier.labels) == 1 and not options.unknown:
        yield Warned(ONE_CLASS)
    if kind != "softmax" and classifier.calibration is not None:
        yield Warned(UNCALIBRATED)
    names = classifier.labels if tree is None else tree.names(classifier.labels)
    paths = None if tree is None else (*map(written_path, tree.paths(classifier.labels)), None)

    def decide_few(images: Embedded) -> Decided:
        scores = Scores(images.entries, score(images.embeddings[0], classifier, kind=kind))
        decided = decide(scores, top_k=labels_written(options))
        if tree is not None and options.back_off is not None:
            decided = backed_off(decided, scores, tree, at=options.back_off, top_k=labels_written(options))
        return decided

    def decide_best(images: Embedded) -> Decided:
        # The images that were read have a row each, and are decided a few at a time if there are many classes.
        read = [entry for entry in images.entries if not isinstance(entry, Skipped)]
        parts = blocks(len(read), width=len(classifier.labels))
        few = (Embedded(tuple(read[rows]), (images.embeddings[0][rows],)) for rows in parts)
        decided = Decided(images.entries, tuple(one for part in few for one in decide_few(part).decisions))
        if not options.unknown:
            return decided
        found = images.embeddings[0]
        return look_for_unknown(decided, found, classifier, options=options, kind=kind, index=len(names))

    return Labeller((*names, options.unknown_label) if options.unknown else names, decide_best, paths)


def labels_of(class_source: Classifier | PromptedClasses) -> tuple[str, ...]:
    """The labels of all classes, in order."""
    if isinstance(class_source, Classifier):
        return class_source.labels
    return tuple(labelled.label for labelled in class_source.classes)
