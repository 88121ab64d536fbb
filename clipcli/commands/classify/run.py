"""From images and labels to rows: one row for every input, in input order."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.prompts import PromptedClasses, read_prompted_classes
from clipcli.commands.classify.kept_columns import kept_columns
from clipcli.commands.classify.provenance import provenance_of
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed, towers_for
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, RowsPlanned, RowsReady
from clipcli.memory.cache import Cache, read_size
from clipcli.memory.memory import Memory
from clipcli.outputs import resume
from clipcli.outputs.earlier import Earlier
from clipcli.records import Embedded, ImageItem, Row, Scores
from clipcli.scoring.build import build, check_belongs
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.decide import decide
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import choose_score, score
from clipcli.settings import api, as_dict


@api(ClassifySettings)
def classify(settings: ClassifySettings) -> Iterator[Row]:
    """Rows for images, folders, globs, lists, shards or tables: one for each image, in order, as the command writes.

    Give `labels` (a labels file, or a sequence of labels) or a `classifier` (a file, or what `build_classifier` gave).
    A row holds the `top_k` best labels with their scores, best first; of an image that cannot be read, none, and the
    reason in `error`. Embeddings are kept in a cache, and taken from there for images whose path, size and time, or
    with `verify` content, are the same. With `keep_columns` a row's `kept` has the cells of these columns. Raises the
    errors of `clipcli.errors`, all of them before the first row but for a model that fails while it runs, or that is
    needed for a later row only.
    """
    for event in run(settings):
        if isinstance(event, RowsReady):
            yield from event.rows


def run(options: ClassifySettings, *, earlier: Earlier | None = None) -> Iterator[Event]:
    """`classify`, saying what it does. Everything is read and checked before a model is loaded.

    It goes on with the rows of an `earlier` run, where there are some. No model is loaded as long as all that is needed
    is in the cache: torch takes longer to import than thousands of rows.
    """
    made_of = _read_classifier_or_classes(options)
    _check_top_k(options.top_k, made_of)
    memory = Memory(Cache(limit=_limit(options)) if options.cache else None)
    items = list_images(options.inputs, stdin=sys.stdin, image_column=options.image_column, keep=options.keep_columns)
    kept = kept_columns(options.keep_columns, items)
    stated = made_of.model if isinstance(made_of, Classifier) else DEFAULT_MODEL
    model = Model(options.model or stated, options, memory=memory)
    provenance = provenance_of(made_of, settings=as_dict(options), model=model.asked, items=items, kept=kept)
    resumed = earlier and resume.check(earlier, items, provenance=provenance)
    yield InputsFound(len(items), resumed.count if resumed else 0)
    yield RowsPlanned(provenance)
    yield from memory.warnings()
    if not resumed:
        yield from _label(items, made_of, model, options, kept)
    elif resumed.count == len(items):
        yield from resumed.rows(resumed.count)
    else:
        unit = options.batch_size or max(BATCH_SIZES.values())
        start = resumed.start(unit)
        labelled = _label(items[start:], made_of, model, options, kept, images=len(items))
        yield from resume.go_on(resumed, labelled, start=start)


def _label(
    items: Sequence[ImageItem],
    made_of: Classifier | PromptedClasses,
    model: Model,
    options: ClassifySettings,
    kept: Sequence[str],
    *,
    images: int | None = None,
) -> Iterator[Event]:
    """The rows of these images, of `images` in all: embedded, scored, decided."""
    classifier = yield from _classifier(items, made_of, model)
    kind = choose_score(options.score, classifier)
    for event in embed(items, models=[model], images=images):
        if isinstance(event, Embedded):
            scores = Scores(event.entries, score(event.embeddings[0], classifier, kind=kind))
            decided = decide(scores, top_k=options.top_k)
            yield RowsReady(tuple(to_rows(decided, classifier.labels, kept=kept)))
        else:
            yield event


def _classifier(
    items: Sequence[ImageItem], made_of: Classifier | PromptedClasses, model: Model
) -> Generator[Event, None, Classifier]:
    """The classifier: as it was given, or built, with the image tower loaded beside it where that is needed as well."""
    if isinstance(made_of, Classifier):
        yield from check_belongs(made_of, model=model)
        return made_of
    [classifier] = yield from build([made_of], model=model, towers=towers_for(items, model=model))
    return classifier


def _limit(options: ClassifySettings) -> int | None:
    return None if options.cache_size is None else read_size(options.cache_size)


def _read_classifier_or_classes(options: ClassifySettings) -> Classifier | PromptedClasses:
    if (options.labels is None) == (options.classifier is None):
        given = "neither labels nor a classifier was" if options.labels is None else "both labels and a classifier were"
        raise UsageError(f"{given} given; give --labels FILE or --classifier FILE")
    if options.labels is not None:
        return read_prompted_classes(options.labels, options.prompts)
    if options.prompts is not None:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    if isinstance(options.classifier, Classifier):
        return options.classifier
    return Classifier.load(options.classifier or "")


def _labels(made_of: Classifier | PromptedClasses) -> Sequence[str]:
    return made_of.labels if isinstance(made_of, Classifier) else [labelled.label for labelled in made_of.classes]


def _check_top_k(top_k: int, made_of: Classifier | PromptedClasses) -> None:
    count = len(_labels(made_of))
    if not 1 <= top_k <= count:
        raise UsageError(f"--top-k {top_k} does not fit {count} classes; choose from 1 to {count}")
