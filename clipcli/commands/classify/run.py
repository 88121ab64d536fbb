"""Labels images: yields one row for every input, in input order."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.joined import SEPARATOR
from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.classify.album import Album
from clipcli.commands.classify.first_look import first_look
from clipcli.commands.classify.kept_columns import kept_columns
from clipcli.commands.classify.labeller import check_labelling, labeller_of, labels_of
from clipcli.commands.classify.merge import Merge
from clipcli.commands.classify.provenance import provenance_of
from clipcli.commands.classify.refined import refine_first
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.commands.classify.several import SPLIT_LABELS, schema_of
from clipcli.commands.classify.stored import Stored, check_stored, read_stored
from clipcli.commands.classify.update import Update, check_model, not_told, said, settings_before
from clipcli.commands.given_classes import check_standard_input, get_classifier, read_class_source
from clipcli.data.images import list_images
from clipcli.data.kinds.folders import OTHER_FILES
from clipcli.encoding.embed import embed
from clipcli.encoding.model import Model
from clipcli.events import Downloading, Event, InputsFound, Loading, RowsPlanned, RowsReady
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.outputs import STDOUT, resume
from clipcli.outputs.check import check_is_not_read
from clipcli.outputs.differences import differences
from clipcli.outputs.earlier import Earlier
from clipcli.outputs.text import plain
from clipcli.records import Embedded, ImageItem, Provenance, Row, Rows
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import choose_score
from clipcli.settings import Show, api, as_dict


@api(ClassifySettings)
def classify(settings: ClassifySettings, show: Show) -> Rows:
    """Label images: one row for each, in order. `len` of the rows is the number of images.

    `inputs` is one or a list of what the command takes (images, folders, tables, …), of PIL images, of arrays (uint8
    `[H, W, 3]` in RGB, `[H, W, 4]` with alpha, or `[H, W]` in grey), and of binary file objects. An image that was
    opened from a file is called by its path, any other by its place in the list, as in `inputs[3]`. PIL images and
    arrays are looked at when their rows are due: do not change them before. Those of a generator, which is read to its
    end first, are copied. Their embeddings are not cached, as there is no file to know them by.

    Give `labels` or a `classifier` (a file, or the result of `build_classifier`). Labels are a labels file, a text such
    as `"cat, dog"`, a list of labels, or a mapping of each to its aliases, as in `{"dog": ["puppy"], "cat": []}`; in
    place of the aliases may stand a mapping with `aliases` and `descriptions`. They may be in groups, as in
    `{"animal": {"dog": ["beagle", "husky"], "cat": ["tabby"]}}`, at any depth: then `label_path` is the best label with
    its groups. A row holds the `top_k` best labels with their scores, best first; an image that cannot be read has
    none, and the reason in `error`. With `unknown` an image of none of the labels has `unknown_label` first, with a
    score that says how sure that is, and behind it its best label. With `multi_label` a row holds every label over its
    threshold, or none, and with `wide` as well, `all_scores` has the score of each label. With `keep_columns`, `kept`
    has the cells of these columns. Embeddings are cached; those of an image are used again while its file is as it was,
    or with `verify` its content.

    Raises the errors of `clipcli.errors`: at once for what is wrong with arguments, labels and inputs, and at the first
    row for what is wrong with the model, unless it fails while it runs or is first needed for a later row.
    """
    return rows_of(run(settings), show)


def rows_of(events: Iterator[Event], show: Show) -> Rows:
    """The rows of a run, with their number; what comes before the images are known is done now."""
    count = 0
    for event in events:
        show(event)
        if isinstance(event, InputsFound):
            count = event.count
            break
    return Rows(_each_row(events, show), count=count)


def _each_row(events: Iterator[Event], show: Show) -> Iterator[Row]:
    for event in events:
        if isinstance(event, RowsReady):
            yield from event.rows
        else:
            show(event)


def run(
    options: ClassifySettings,
    *,
    earlier: Earlier | None = None,
    output: str = STDOUT,
    model: Model | None = None,
    album: Album | None = None,
    update: Update | None = None,
) -> Iterator[Event]:
    """As `classify`, with its events. Everything is read and checked before a model is loaded.

    If there are rows of an `earlier` run, it goes on after them. With an `update` the rows are as its output gets them,
    and `Updated` comes last. All rows are added to the `album` as well. Raises
    `UsageError` if the file `output`, where the caller writes the rows, is one of the images, or that of the album. No
    model is loaded while everything that is needed is in the cache: importing torch takes longer than thousands of
    rows. A `model` that is open already, with the settings of these options, is used as it is.
    """
    notices = Notices()
    stored = read_stored(options)
    class_source = _checked_classes(options, notices)
    memory = model.memory if model else open_memory(cache=options.cache, cache_size=options.cache_size)
    items = _listed(options, notices) if stored is None else stored.items
    check_is_not_read(output, {item.file for item in items} if os.path.isfile(output) else ())
    if album is not None and os.path.isfile(album.path):
        check_is_not_read(album.path, {item.file for item in items}, flag="--report")
    kept = kept_columns(options.keep_columns, items)
    if update is not None:
        update.check(items)
        items = update.items(items)
    items, left_out = first_look(items, max_images=options.max_images, sample=options.sample)
    passed_over = notices.take(OTHER_FILES)
    default_model = DEFAULT_MODEL if stored is None else stored.model.name
    if isinstance(class_source, Classifier):
        default_model = class_source.model
    model = model or Model(options.model or default_model, options, memory=memory)
    provenance = provenance_of(class_source, settings=as_dict(options), model=model.asked, items=items, kept=kept)
    schema_of(options, provenance, has_source=update is not None)
    resumed = resume.check(earlier, items, provenance=provenance) if earlier else None
    yield from notices.events()
    said = tuple(message for message in (left_out, passed_over) if message is not None)
    yield InputsFound(len(items), resumed.count if resumed else 0, said)
    yield RowsPlanned(provenance)
    yield from memory.warnings()
    if stored is not None:
        yield from check_stored(stored, model=model)
    merge = None
    if update is not None:
        merge = Merge(update, items, options=options, provenance=provenance, memory=memory)
        merge.answers = yield from _answers_before(update, items, provenance, model)
    events = _events_of(items, class_source, model, options, kept, resumed, stored)
    events = events if merge is None else merge.rows(events)
    if album is None:
        yield from events
    else:
        album.left_out = said
        yield from _adding(events, items, album, provenance)


def model_of(options: ClassifySettings) -> Model:
    """The model of these settings, for several runs. Raises as `run`."""
    source = read_class_source(options, Notices())
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    return Model(
        options.model or (source.model if isinstance(source, Classifier) else DEFAULT_MODEL), options, memory=memory
    )


def _listed(options: ClassifySettings, notices: Notices) -> list[ImageItem]:
    """The images of the inputs."""
    return list_images(
        options.inputs,
        stdin=sys.stdin,
        image_column=options.image_column,
        keep=options.keep_columns,
        notices=notices,
        exclude=options.exclude,
    )


def _adding(
    events: Iterator[Event], items: Sequence[ImageItem], album: Album, provenance: Provenance
) -> Iterator[Event]:
    """The events, whose rows are added to the album with their images."""
    album.title = ", ".join(provenance.inputs)
    album.count_groups(provenance)
    made = "" if provenance.scores is None else f" The classifier is {provenance.scores}."
    album.subtitle = f"Labels by {provenance.model}, prompts {provenance.prompts}.{made}"
    done = 0
    for event in events:
        if isinstance(event, RowsReady) and not event.missing:
            album.add(event.rows, items[done : done + len(event.rows)])
            done += len(event.rows)
        yield event


def _answers_before(
    update: Update, items: Sequence[ImageItem], provenance: Provenance, model: Model
) -> Generator[Event, None, Mapping[str, tuple[str, ...]] | None]:
    """What the model says by the settings of an output that was edited, if these are others; by path.

    Raises `UsageError` if they cannot be had again: then nothing tells which labels are a person's.
    """
    former = update.former
    if former is None or not former.edited:
        return None
    before = former.manifest.provenance
    different = differences(before, provenance)
    if not different:
        return None
    said_before: dict[str, tuple[str, ...]] = {}
    settings = settings_before(former, items)
    for event in run(settings, model=model if before.model == model.asked else None) if settings.inputs else ():
        check_model(former, event)
        if isinstance(event, RowsPlanned):
            others = differences(before, replace(event.provenance, kept=before.kept))
            if others:
                raise not_told(former, others)
        elif isinstance(event, RowsReady):
            said_before |= {plain(row.path): said(row, several=settings.multi_label) for row in event.rows}
        elif isinstance(event, Loading | Downloading):
            yield event
    return said_before


def _checked_classes(options: ClassifySettings, notices: Notices) -> Classifier | PromptedClasses:
    """The classes, with the settings about them checked. Raises `UsageError` for what does not fit together."""
    check_standard_input(options.labels, options.inputs)
    class_source = read_class_source(options, notices)
    check_labelling(options, class_source)
    for label in labels_of(class_source) if options.multi_label else ():
        if SEPARATOR in label:
            notices.add(SPLIT_LABELS, label)
    return class_source


def _events_of(
    items: Sequence[ImageItem],
    class_source: Classifier | PromptedClasses,
    model: Model,
    options: ClassifySettings,
    kept: Sequence[str],
    resumed: resume.Resumed | None,
    stored: Stored | None,
) -> Iterator[Event]:
    """The images' events: after the rows of an earlier run, if there are some."""
    if resumed and resumed.count == len(items):
        return resumed.rows(resumed.count)
    start = resumed.start(options.batch_size or max(BATCH_SIZES.values())) if resumed else 0
    labelled = _label_images(items[start:], class_source, model, options, kept, images=len(items), stored=stored)
    return resume.go_on(resumed, labelled, start=start) if resumed else labelled


def _label_images(
    items: Sequence[ImageItem],
    class_source: Classifier | PromptedClasses,
    model: Model,
    options: ClassifySettings,
    kept: Sequence[str],
    *,
    images: int,
    stored: Stored | None,
) -> Iterator[Event]:
    """Embed and score the images, decide their labels, and yield their rows as `RowsReady`.

    `images` is the number of images of the whole run; these may be the rest of them. The embeddings of `stored` images
    are there already.
    """
    needs_words = options.unknown or options.multi_label
    to_encode = items if stored is None else ()
    classifier = yield from get_classifier(class_source, to_encode, model=model, vocabulary=needs_words)
    embedded: Iterable[Event | Embedded] = (
        embed(items, models=[model], images=images) if stored is None else stored.embed(items)
    )
    if options.refine:
        kind = choose_score(options.score, classifier)
        classifier, embedded = yield from refine_first(embedded, classifier, kind=kind, images=images)
    labeller = yield from labeller_of(classifier, options)
    for event in embedded:
        if isinstance(event, Embedded):
            rows = to_rows(labeller.decide(event), labeller.names, kept=kept, paths=labeller.paths)
            yield RowsReady(tuple(rows))
        else:
            yield event
