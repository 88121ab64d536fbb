"""Looks at labels, or proposes some: reads them and the images, embeds both, and collects what is found."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, load_prompts, read_prompted_classes
from clipcli.classes.vocabulary import other_words, vocabulary
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
from clipcli.events import Event, InputsFound, LabelsDoubted, result_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.records import Entry, ImageItem, Skipped
from clipcli.scoring.build import build
from clipcli.scoring.classifier import Classifier
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


def _words(prompts: str | None, names: Sequence[str] = ()) -> PromptedClasses:
    """The words of the general vocabulary that are none of the names, as classes with these prompts."""
    words = vocabulary()
    others = tuple(LabelledClass(words[n]) for n in other_words(words, names))
    return PromptedClasses(others, load_prompts(DEFAULT_PROMPTS if prompts is None else prompts))


def _suggested(options: LabelsSettings, items: Sequence[ImageItem], model: Model) -> Generator[Event, None, Suggested]:
    """Labels for the images: names of clusters, with the images that are nearest to each."""
    prompted = _words(options.prompts)
    [words] = yield from build([prompted], model=model, towers=towers_for(items, model=model))
    entries, embeddings, skipped = yield from _embedded(items, model)
    chosen = suggest(embeddings, words.class_embeddings)
    best = (embeddings @ words.class_embeddings[chosen].T).argmax(axis=1)
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
    names = [name for labelled in prompted.classes for name in (labelled.label, *labelled.aliases)]
    words_of = PromptedClasses(_words(None, names).classes, prompted.prompt_set)
    sets = [name for name in TRIED if name != prompted.prompt_set.name] if len(items) >= LEAST_IMAGES else []
    tried = [PromptedClasses(prompted.classes, load_prompts(name)) for name in sets]
    doubts: list[LabelsDoubted] = []
    towers = towers_for(items, model=model) if items else ()
    classifier, words, *others = yield from _keeping(
        build([prompted, words_of, *tried], model=model, towers=towers), doubts
    )
    if not items:
        return LabelReport(classifier.labels, None, tuple(_findings(classifier, words, doubts, None)))
    _, embeddings, skipped = yield from _embedded(items, model)
    found = [
        *_findings(classifier, words, doubts, embeddings),
        *other_prompts(classifier, dict(zip(sets, others, strict=True)), embeddings),
    ]
    best = (embeddings @ classifier.class_embeddings.T).argmax(axis=1)
    counts = np.bincount(best, minlength=len(classifier.labels)).tolist()
    return LabelReport(classifier.labels, dict(zip(classifier.labels, counts, strict=True)), tuple(found), skipped)


def _keeping(
    events: Generator[Event, None, list[Classifier]], doubts: list[LabelsDoubted]
) -> Generator[Event, None, list[Classifier]]:
    """The events, but for doubts about labels, which become findings."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            classifiers: list[Classifier] = stop.value
            return classifiers
        if isinstance(event, LabelsDoubted):
            doubts.append(event)
        else:
            yield event


def _findings(
    classifier: Classifier, words: Classifier, doubts: Sequence[LabelsDoubted], embeddings: Array | None
) -> Iterator[Finding]:
    """All findings, in the order of `KINDS`."""
    labels, classes, vocabulary = classifier.labels, classifier.class_embeddings, words.class_embeddings
    winners = None
    if embeddings is not None and len(labels) > 1:
        winners = Winners.of(embeddings @ classes.T)
    yield from _of_words(doubts, labels, winners)
    yield from alike(labels, classes, vocabulary, winners)
    if embeddings is None or winners is None:
        return
    yield from never(labels, winners)
    yield from everywhere(labels, embeddings, winners)
    yield from missing(labels, classes, words.labels, vocabulary, embeddings)


def _of_words(doubts: Sequence[LabelsDoubted], labels: Sequence[str], winners: Winners | None) -> Iterator[Finding]:
    """The doubts about words of labels, with the number of images that get these labels."""
    counts = {} if winners is None else dict(zip(labels, winners.counts.tolist(), strict=True))
    for doubt in doubts:
        got = None if winners is None else f"these labels get {images(sum(counts.get(n, 0) for n in doubt.labels))} now"
        yield Finding("words", doubt.labels, doubt.says, doubt.suggestion, got)
