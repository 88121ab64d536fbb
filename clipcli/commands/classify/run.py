"""Labels images: yields one row for every input, in input order."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Sequence

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.prompts import PromptedClasses, read_prompted_classes
from clipcli.commands.classify.album import Album
from clipcli.commands.classify.kept_columns import kept_columns
from clipcli.commands.classify.provenance import provenance_of
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed, towers_for
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, RowsPlanned, RowsReady, Warned
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.outputs import STDOUT, resume
from clipcli.outputs.check import check_is_not_read
from clipcli.outputs.earlier import Earlier
from clipcli.records import Embedded, ImageItem, Provenance, Row, Scores
from clipcli.scoring.build import build, check_belongs
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.decide import decide
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import choose_score, score
from clipcli.settings import Show, api, as_dict

_ONE_CLASS = (
    "one class alone scores 1 on every image, whatever it shows; add classes to choose from, such as 'something else',"
    " or give --score cosine"
)


@api(ClassifySettings)
def classify(settings: ClassifySettings, show: Show) -> Iterator[Row]:
    """Label images, and yield one row for each, in order. Inputs are as for the command: images, folders, tables, …

    Give `labels` (a labels file, or a sequence of labels) or a `classifier` (a file, or the result of
    `build_classifier`). A row holds the `top_k` best labels with their scores, best first; an image that cannot be read
    has none, and the reason in `error`. With `keep_columns`, `kept` has the cells of these columns. Embeddings are
    cached; those of an image are used again while its file is as it was, or with `verify` its content.

    Raises the errors of `clipcli.errors`, all before the first row, unless a model fails while it runs or is first
    needed for a later row.
    """
    for event in run(settings):
        if isinstance(event, RowsReady):
            yield from event.rows
        else:
            show(event)


def run(
    options: ClassifySettings, *, earlier: Earlier | None = None, output: str = STDOUT, album: Album | None = None
) -> Iterator[Event]:
    """As `classify`, with its events. Everything is read and checked before a model is loaded.

    If there are rows of an `earlier` run, it goes on after them. All rows are added to the `album` as well. Raises
    `UsageError` if the file `output`, where the caller writes the rows, is one of the images, or that of the album. No
    model is loaded while everything that is needed is in the cache: importing torch takes longer than thousands of
    rows.
    """
    notices = Notices()
    class_source = _read_class_source(options, notices)
    _check_top_k(options.top_k, class_source)
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    items = list_images(
        options.inputs,
        stdin=sys.stdin,
        image_column=options.image_column,
        keep=options.keep_columns,
        notices=notices,
        exclude=options.exclude,
    )
    check_is_not_read(output, {item.file for item in items} if os.path.isfile(output) else ())
    if album is not None and os.path.isfile(album.path):
        check_is_not_read(album.path, {item.file for item in items}, flag="--report")
    kept = kept_columns(options.keep_columns, items)
    default_model = class_source.model if isinstance(class_source, Classifier) else DEFAULT_MODEL
    model = Model(options.model or default_model, options, memory=memory)
    provenance = provenance_of(class_source, settings=as_dict(options), model=model.asked, items=items, kept=kept)
    resumed = earlier and resume.check(earlier, items, provenance=provenance)
    yield from notices.events()
    yield InputsFound(len(items), resumed.count if resumed else 0)
    yield RowsPlanned(provenance)
    yield from memory.warnings()
    events: Iterator[Event]
    if not resumed:
        events = _label_images(items, class_source, model, options, kept)
    elif resumed.count == len(items):
        events = resumed.rows(resumed.count)
    else:
        unit = options.batch_size or max(BATCH_SIZES.values())
        start = resumed.start(unit)
        labelled = _label_images(items[start:], class_source, model, options, kept, images=len(items))
        events = resume.go_on(resumed, labelled, start=start)
    yield from events if album is None else _adding(events, items, album, provenance)


def _adding(
    events: Iterator[Event], items: Sequence[ImageItem], album: Album, provenance: Provenance
) -> Iterator[Event]:
    """The events, whose rows are added to the album with their images."""
    album.title = ", ".join(provenance.inputs)
    album.subtitle = f"Labels by {provenance.model}, prompts {provenance.prompts}."
    done = 0
    for event in events:
        if isinstance(event, RowsReady):
            album.add(event.rows, items[done : done + len(event.rows)])
            done += len(event.rows)
        yield event


def _read_class_source(options: ClassifySettings, notices: Notices) -> Classifier | PromptedClasses:
    """Read the classifier, or the labels and prompts to build it from. Raises `UsageError` unless one is given."""
    if (options.labels is None) == (options.classifier is None):
        given = "neither labels nor a classifier was" if options.labels is None else "both labels and a classifier were"
        raise UsageError(f"{given} given; give --labels FILE or --classifier FILE")
    if options.labels is not None:
        return read_prompted_classes(options.labels, options.prompts, notices, keep_names=options.keep_names)
    if options.prompts is not None:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    if isinstance(options.classifier, Classifier):
        return options.classifier
    return Classifier.load(options.classifier or "")


def _check_top_k(top_k: int, class_source: Classifier | PromptedClasses) -> None:
    classes = class_source.labels if isinstance(class_source, Classifier) else class_source.classes
    if not 1 <= top_k <= len(classes):
        raise UsageError(f"--top-k {top_k} does not fit {len(classes)} classes; choose from 1 to {len(classes)}")


def _label_images(
    items: Sequence[ImageItem],
    class_source: Classifier | PromptedClasses,
    model: Model,
    options: ClassifySettings,
    kept: Sequence[str],
    *,
    images: int | None = None,
) -> Iterator[Event]:
    """Embed and score the images, decide their labels, and yield their rows as `RowsReady`.

    `images` is the number of images of the whole run, if these are the rest of them.
    """
    classifier = yield from _get_classifier(items, class_source, model)
    kind = choose_score(options.score, classifier)
    if kind == "softmax" and len(classifier.labels) == 1:
        yield Warned(_ONE_CLASS)
    for event in embed(items, models=[model], images=images):
        if isinstance(event, Embedded):
            scores = Scores(event.entries, score(event.embeddings[0], classifier, kind=kind))
            decided = decide(scores, top_k=options.top_k)
            yield RowsReady(tuple(to_rows(decided, classifier.labels, kept=kept)))
        else:
            yield event


def _get_classifier(
    items: Sequence[ImageItem], class_source: Classifier | PromptedClasses, model: Model
) -> Generator[Event, None, Classifier]:
    """Build the classifier, or check that the one given was made with this model.

    If a text tower is loaded to build it, so is the image tower, unless memory has the images' embeddings.
    """
    if isinstance(class_source, Classifier):
        yield from check_belongs(class_source, model=model)
        return class_source
    [classifier] = yield from build([class_source], model=model, towers=towers_for(items, model=model))
    return classifier
