"""Labels images: yields one row for every input, in input order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.commands.classify.album import Album
from clipcli.commands.classify.labeller import labeller_of
from clipcli.commands.classify.merge import Merge
from clipcli.commands.classify.refined import refine_first
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.commands.classify.stored import check_stored
from clipcli.commands.classify.update import Update, answers_before
from clipcli.commands.classify.work import Work, model_name, read_work
from clipcli.commands.given_classes import get_classifier, read_class_source
from clipcli.encoding.embed import embed
from clipcli.encoding.model import Model
from clipcli.events import Event, InputsFound, Noted, RowsPlanned, RowsReady
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.outputs import STDOUT, resume
from clipcli.outputs.earlier import Earlier
from clipcli.outputs.shards import shard_of_process
from clipcli.records import Embedded, ImageItem, Row, Rows
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import choose_score
from clipcli.settings import Show, api


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
    return Model(model_name(options, source, None), options, memory=memory)


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
