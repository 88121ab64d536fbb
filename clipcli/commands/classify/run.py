"""Labels images: yields one row for every input, in input order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.joined import SEPARATOR
from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.classify.album import Album
from clipcli.commands.classify.first_look import first_look
from clipcli.commands.classify.kept_columns import kept_columns
from clipcli.commands.classify.labeller import check_labelling, labeller_of, labels_of
from clipcli.commands.classify.merge import Merge
from clipcli.commands.classify.provenance import digest_of_names, provenance_of
from clipcli.commands.classify.refined import refine_first
from clipcli.commands.classify.settings import ClassifySettings, check_shard
from clipcli.commands.classify.several import SPLIT_LABELS, schema_of
from clipcli.commands.classify.stored import Stored, check_stored, read_stored
from clipcli.commands.classify.update import Update, answers_before
from clipcli.commands.given_classes import check_standard_input, get_classifier, read_class_source
from clipcli.data.images import list_images
from clipcli.data.kinds.folders import OTHER_FILES
from clipcli.encoding.embed import embed
from clipcli.encoding.model import Model
from clipcli.events import Event, InputsFound, Noted, RowsPlanned, RowsReady
from clipcli.files.names import note_names
from clipcli.images.limits import limits_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.outputs import STDOUT, resume
from clipcli.outputs.check import check_is_not_read
from clipcli.outputs.earlier import Earlier
from clipcli.outputs.shards import places_in, read_shard, shard_of_process, sharding_of
from clipcli.records import Embedded, ImageItem, Provenance, Row, Rows, Sharding
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run works on, read and checked; the model is loaded once it is needed.

    The `images` that are `stored` have their embeddings already. The whole run has `total` images; of a shard `places`
    are those of its images among them. `kept` are the columns of tables that rows have as
    well, and `left_out` says in whole messages what of the inputs is not among the images.
    """

    options: ClassifySettings
    class_source: Classifier | PromptedClasses
    images: Sequence[ImageItem]
    total: int
    places: Sequence[int] | None
    stored: Stored | None
    model: Model
    kept: Sequence[str]
    provenance: Provenance
    left_out: tuple[str, ...]


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
    if options.shard is not None:
        shard, said = shard_of_process(options.shard, os.environ)
        options = replace(options, shard=str(shard))
        if said is not None:
            yield Noted(f"Labelling {said}.")
    written = {output: "--output"} if album is None else {output: "--output", album.path: "--report"}
    work = read_work(options, notices, written=written, model=model, update=update)
    resumed = resume.check(earlier, work.images, provenance=work.provenance) if earlier else None
    yield from notices.events()
    yield InputsFound(len(work.images), resumed.count if resumed else 0, work.left_out)
    yield RowsPlanned(work.provenance)
    yield from work.model.memory.warnings()
    if work.stored is not None:
        yield from check_stored(work.stored, model=work.model)
    events = _all_rows(work, resumed)
    if update is not None:
        events = _updating(events, work, update)
    yield from events if album is None else _adding(events, work, album)


def model_of(options: ClassifySettings) -> Model:
    """The model of these settings, for several runs. Raises as `run`."""
    source = read_class_source(options, Notices())
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    return Model(_model_name(options, source, None), options, memory=memory)


def _model_name(options: ClassifySettings, class_source: Classifier | PromptedClasses, stored: Stored | None) -> str:
    """The model that was asked for, else that of the classifier, of the stored embeddings, or the usual one."""
    if isinstance(class_source, Classifier):
        return options.model or class_source.model
    return options.model or (DEFAULT_MODEL if stored is None else stored.model.name)


def read_work(
    options: ClassifySettings,
    notices: Notices,
    *,
    written: Mapping[str, str],
    model: Model | None = None,
    update: Update | None = None,
) -> Work:
    """Read and check all that a run works on. `written` are the files that it writes, with their flags."""
    check_shard(options, is_update=update is not None)
    stored = read_stored(options)
    class_source = _checked_classes(options, notices)
    memory = model.memory if model else open_memory(cache=options.cache, cache_size=options.cache_size)
    items = _listed(options, notices) if stored is None else stored.items
    for file, flag in written.items():
        check_is_not_read(file, {item.file for item in items} if os.path.isfile(file) else (), flag=flag)
    kept = kept_columns(options.keep_columns, items)
    if update is not None:
        update.check(items)
        items = update.items(items)
    note_names((item.id for item in items), notices)
    items, not_taken = first_look(items, max_images=options.max_images, sample=options.sample)
    left_out = tuple(message for message in (not_taken, notices.take(OTHER_FILES)) if message is not None)
    model = model or Model(_model_name(options, class_source, stored), options, memory=memory)
    total = len(items)
    items, places, shard = _sharded(options, items)
    provenance = provenance_of(
        class_source, settings=as_dict(options), model=model.asked, items=items, kept=kept, shard=shard
    )
    schema_of(options, provenance, has_source=update is not None)
    return Work(
        options=options,
        class_source=class_source,
        images=items,
        total=total,
        places=places,
        stored=stored,
        model=model,
        kept=kept,
        provenance=provenance,
        left_out=left_out,
    )


def _listed(options: ClassifySettings, notices: Notices) -> list[ImageItem]:
    """The images of the inputs, or their frames where each gets a row."""
    items = list_images(
        options.inputs,
        stdin=sys.stdin,
        image_column=options.image_column,
        keep=options.keep_columns,
        notices=notices,
        exclude=options.exclude,
        also=options.also,
        null=options.null,
    )
    if not options.frame_rows or options.frames is None:
        return items
    from clipcli.images.frames import each_frame

    return each_frame(items, options.frames, limits=limits_of(options))


def _sharded(
    options: ClassifySettings, items: list[ImageItem]
) -> tuple[list[ImageItem], Sequence[int] | None, Sharding | None]:
    """The images of the shard, their places among all, and what the manifest tells of it; all without a shard."""
    if options.shard is None:
        return items, None, None
    shard = read_shard(options.shard)
    places = places_in(shard, items)
    sharding = sharding_of(shard, places, images=len(items), digest=digest_of_names(items))
    return [items[place] for place in places], places, sharding


def _updating(events: Iterator[Event], work: Work, update: Update) -> Iterator[Event]:
    """The events, whose rows are merged into the output that is brought up to date."""
    merge = Merge(update, work.images, options=work.options, provenance=work.provenance, memory=work.model.memory)
    items = work.images if work.stored is None else ()
    merge.answers = yield from answers_before(update, items, work.provenance, model=work.model, run=run)
    yield from merge.rows(events)


def _adding(events: Iterator[Event], work: Work, album: Album) -> Iterator[Event]:
    """The events, whose rows are added to the album with their images."""
    provenance, done = work.provenance, 0
    album.left_out = work.left_out
    album.title = ", ".join(provenance.inputs)
    album.count_groups(provenance)
    made = "" if provenance.scores is None else f" The classifier is {provenance.scores}."
    album.subtitle = f"Labels by {provenance.model}, prompts {provenance.prompts}.{made}"
    for event in events:
        if isinstance(event, RowsReady) and not event.missing:
            album.add(event.rows, work.images[done : done + len(event.rows)])
            done += len(event.rows)
        yield event


def _checked_classes(options: ClassifySettings, notices: Notices) -> Classifier | PromptedClasses:
    """The classes, with the settings about them checked. Raises `UsageError` for what does not fit together."""
    check_standard_input(options.labels, options.inputs)
    class_source = read_class_source(options, notices)
    check_labelling(options, class_source)
    for label in labels_of(class_source) if options.multi_label else ():
        if SEPARATOR in label:
            notices.add(SPLIT_LABELS, label)
    return class_source


def _all_rows(work: Work, resumed: resume.Resumed | None) -> Iterator[Event]:
    """The images' events: after the rows of an earlier run, if there are some."""
    if not work.images:
        return iter(())
    if resumed is None:
        return _label_images(work, work.images)
    if resumed.count == len(work.images):
        return resumed.rows(resumed.count)
    # Where files have several frames, a batch of them ends anywhere; their embeddings come from the cache.
    unit = work.options.batch_size or max(BATCH_SIZES.values())
    start = 0 if work.options.frames else resumed.start(unit)
    return resume.go_on(resumed, _label_images(work, work.images[start:]), start=start)


def _label_images(work: Work, items: Sequence[ImageItem]) -> Iterator[Event]:
    """Embed and score some of the images, decide their labels, and yield their rows as `RowsReady`."""
    options, stored = work.options, work.stored
    places = None if work.places is None else work.places[len(work.images) - len(items) :]
    needs_words = options.unknown or options.multi_label
    to_encode = items if stored is None else ()
    classifier = yield from get_classifier(work.class_source, to_encode, model=work.model, vocabulary=needs_words)
    embedded: Iterable[Event | Embedded] = (
        embed(items, models=[work.model], images=work.total, places=places) if stored is None else stored.embed(items)
    )
    if options.refine:
        kind = choose_score(options.score, classifier)
        classifier, embedded = yield from refine_first(embedded, classifier, kind=kind, images=work.total)
    labeller = yield from labeller_of(classifier, options)
    for event in embedded:
        if isinstance(event, Embedded):
            rows = to_rows(labeller.decide(event), labeller.names, kept=work.kept, paths=labeller.paths)
            yield RowsReady(tuple(rows))
        else:
            yield event
