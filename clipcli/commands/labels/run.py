"""Looks at labels, or proposes some: reads them and the images, embeds both, and collects what is found."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, PromptSet, load_prompts, read_prompted_classes
from clipcli.classes.vocabulary import vocabulary
from clipcli.commands.given_classes import check_standard_input
from clipcli.commands.labels.alike import alike
from clipcli.commands.labels.findings import Finding, LabelReport, Suggested, images
from clipcli.commands.labels.missing import missing
from clipcli.commands.labels.other_prompts import TRIED, other_prompts
from clipcli.commands.labels.settings import LabelsSettings
from clipcli.commands.labels.suggest import suggest
from clipcli.commands.labels.winners import Winners, everywhere, never
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed_images, towers_for
from clipcli.encoding.model import Model
from clipcli.errors import InputNotFound, UsageError
from clipcli.events import Event, InputsFound, LabelsDoubted, ModelKnown, result_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.records import Entry, ImageItem, Skipped
from clipcli.scoring.blocks import nearest
from clipcli.scoring.build import build
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.competitors import competitors
from clipcli.scoring.refine import LEAST_IMAGES
from clipcli.settings import Show, api

Array = NDArray[np.float32]
# The images named for each proposed label.
_EXAMPLES = 2


@api(LabelsSettings)
def labels(settings: LabelsSettings, show: Show) -> LabelReport | Suggested:
    """Look at `labels`, and at the `images` that they are for, as `clipcli labels`: a `LabelReport` with findings.

    With `suggest`, the labels that the images may have: a `Suggested`. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show)


def run(options: LabelsSettings) -> Generator[Event, None, LabelReport | Suggested]:
    """As `labels`, with its events. Everything is read and checked before a model is loaded."""
    if options.suggest == (options.labels is not None):
        raise UsageError(
            "labels were given, and --suggest proposes some without; give one of them"
            if options.suggest
            else "no labels were given; give a file or 'cat, dog', or --suggest with --images to have some proposed"
        )
    if options.suggest and not options.images:
        raise UsageError("--suggest proposes labels for images; give --images FOLDER")
    check_standard_input(options.labels, options.images)
    notices = Notices()
    prompted = None
    if options.labels is not None:
        prompted = read_prompted_classes(options.labels, options.prompts, notices, keep_names=options.keep_names)
    items = _images(options, notices)
    yield from notices.events()
    yield InputsFound(len(items))
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    model = Model(options.model or DEFAULT_MODEL, options, memory=memory)
    yield from memory.warnings()
    if prompted is None:
        return (yield from _suggested(options, items, model))
    return (yield from _looked_at(prompted, items, model))


def _images(options: LabelsSettings, notices: Notices) -> list[ImageItem]:
    if not options.images:
        return []
    return list_images(
        options.images,
        stdin=sys.stdin,
        image_column=options.image_column,
        notices=notices,
        exclude=options.exclude,
    )


def _embedded(items: Sequence[ImageItem], model: Model) -> Generator[Event, None, tuple[Sequence[Entry], Array, int]]:
    """The images that can be read, their embeddings `[N, D]`, and the number of the others.

    Raises `InputNotFound` if none can be.
    """
    entries, [embeddings] = yield from embed_images(items, models=[model])
    skipped = [entry for entry in entries if isinstance(entry, Skipped)]
    if len(skipped) == len(entries):
        raise InputNotFound(f"no image can be read, such as {skipped[0].item.id}: {skipped[0].reason}")
    return [entry for entry in entries if not isinstance(entry, Skipped)], embeddings, len(skipped)


def _words(prompt_set: PromptSet) -> PromptedClasses:
    """The words of the general vocabulary, as classes with these prompts."""
    return PromptedClasses(tuple(map(LabelledClass, vocabulary())), prompt_set)


def _suggested(options: LabelsSettings, items: Sequence[ImageItem], model: Model) -> Generator[Event, None, Suggested]:
    """Labels for the images: names of clusters, with the images that are nearest to each."""
    prompted = _words(load_prompts(DEFAULT_PROMPTS if options.prompts is None else options.prompts))
    [words] = yield from build([prompted], model=model, towers=towers_for(items, model=model))
    entries, embeddings, skipped = yield from _embedded(items, model)
    chosen = suggest(embeddings, words.class_embeddings)
    best = nearest(embeddings, words.class_embeddings[chosen])
    names = [words.labels[n] for n in chosen]
    counts = Counter(names[n] for n in best.tolist())
    examples: dict[str, list[str]] = {name: [] for name in names}
    for entry, n in zip(entries, best.tolist(), strict=True):
        if isinstance(entry, ImageItem) and len(examples[names[n]]) < _EXAMPLES:
            examples[names[n]].append(entry.id)
    return Suggested(dict(counts.most_common()), examples, skipped)


def _looked_at(
    prompted: PromptedClasses, items: Sequence[ImageItem], model: Model
) -> Generator[Event, None, LabelReport]:
    """What is found about the classes, and with images about their counts."""
    sets = [name for name in TRIED if name != prompted.prompt_set.name] if len(items) >= LEAST_IMAGES else []
    tried = [PromptedClasses(prompted.classes, load_prompts(name)) for name in sets]
    towers = towers_for(items, model=model) if items else ()
    doubts: list[LabelsDoubted] = []
    [classifier] = yield from _keeping(build([prompted], model=model, towers=towers), doubts)
    # What is doubted about common words, or with other prompts, is no finding about these labels.
    rest = build([_words(prompted.prompt_set), *tried], model=model, towers=towers)
    words, *others = yield from _keeping(rest, [], without=ModelKnown)
    if not items:
        return LabelReport(classifier.labels, None, tuple(_findings(prompted, classifier, words, doubts)))
    _, embeddings, skipped = yield from _embedded(items, model)
    winners = Winners.of(embeddings, classifier.class_embeddings)
    found = [
        *_findings(prompted, classifier, words, doubts, winners),
        *_of_images(prompted, classifier, words, embeddings, winners),
        *other_prompts(classifier, dict(zip(sets, others, strict=True)), embeddings),
    ]
    counts = dict(zip(classifier.labels, winners.counts.tolist(), strict=True))
    return LabelReport(classifier.labels, counts, tuple(found), skipped)


def _keeping(
    events: Generator[Event, None, list[Classifier]],
    doubts: list[LabelsDoubted],
    *,
    without: type[ModelKnown] | tuple[()] = (),
) -> Generator[Event, None, list[Classifier]]:
    """The events, but for doubts about labels, which become findings, and for those that were said before."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            classifiers: list[Classifier] = stop.value
            return classifiers
        if isinstance(event, LabelsDoubted):
            doubts.append(event)
        elif not isinstance(event, without):
            yield event


def _findings(
    prompted: PromptedClasses,
    classifier: Classifier,
    words: Classifier,
    doubts: Sequence[LabelsDoubted],
    winners: Winners | None = None,
) -> Iterator[Finding]:
    """What is found about the labels by themselves, with its effect on the images if there are some."""
    yield from _of_words(doubts, prompted.classes, winners)
    yield from alike(classifier.labels, classifier.class_embeddings, words.class_embeddings, winners)


def _of_words(
    doubts: Sequence[LabelsDoubted], classes: Sequence[LabelledClass], winners: Winners | None
) -> Iterator[Finding]:
    """The doubts about words of labels, with the number of images that get these labels."""
    # A doubt is about the words of a label, such as `hot dog` of `hot_dog`.
    index = {labelled.names[0]: n for n, labelled in enumerate(classes)}
    for doubt in doubts:
        found = [index[words] for words in doubt.labels]
        got = None
        if winners is not None:
            these = "this label gets" if len(found) == 1 else "these labels get"
            got = f"{these} {images(int(winners.counts[found].sum()))} now"
        yield Finding("words", tuple(classes[n].label for n in found), doubt.says, doubt.suggestion, got)


def _of_images(
    prompted: PromptedClasses, classifier: Classifier, words: Classifier, embeddings: Array, winners: Winners
) -> Iterator[Finding]:
    """What the images `[N, D]` say about two labels or more."""
    labels, classes, vocabulary = classifier.labels, classifier.class_embeddings, words.class_embeddings
    if len(labels) < 2:
        return
    yield from never(labels, winners)
    yield from everywhere(labels, embeddings, winners)
    names = [name for labelled in prompted.classes for name in (labelled.label, *labelled.names)]
    others = competitors(words.labels, vocabulary, names=names, class_embeddings=classes)
    yield from missing(labels, classes, [words.labels[n] for n in others], vocabulary[others], embeddings)
