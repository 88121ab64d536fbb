"""`classify` where a model must be loaded: new images, or new labels."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime, choose_runtime
from clipcli.backbones.towers import IMAGE
from clipcli.classes.prompts import Recipe
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.batch_size import fitted
from clipcli.encoding.embed import embed
from clipcli.encoding.engines.choose import check_engine, with_engine
from clipcli.errors import CacheUnusable
from clipcli.events import Event, ModelLoaded, RowsReady, TimeSpent, Warned
from clipcli.images import card
from clipcli.images.batches import batches
from clipcli.images.kinds import check_decode
from clipcli.images.resize import least_pixels, resizer
from clipcli.images.threads import DecodeThreads
from clipcli.memory.cache import Cache
from clipcli.memory.images import ImageStore
from clipcli.memory.models import Asked, known_of, remember
from clipcli.records import Batch, ImageItem, Remembered, Scores
from clipcli.scoring.build import classifier_and_backbone, load_for
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import choose_score, score


def label(
    items: Sequence[ImageItem],
    *,
    made_of: Classifier | Recipe,
    asked: Asked,
    cache: Cache | None,
    options: ClassifySettings,
) -> Iterator[Event]:
    """Rows of these images; what is encoded is kept for later runs."""
    started = time.perf_counter()
    runtime = _runtime(options)
    check_decode(options.decode, device=runtime.device)
    check_engine(options.engine, runtime=runtime)
    checkpoint = yield from backbones.find(asked.model)()
    if isinstance(made_of, Classifier):
        classifier, backbone = made_of, load_for(made_of, checkpoint, runtime)
        yield ModelLoaded(checkpoint.name, str(runtime), str(backbone))
    else:
        classifier, backbone = yield from classifier_and_backbone(
            made_of, checkpoint=checkpoint, runtime=runtime, cache=cache, towers=(IMAGE,)
        )
    kind = choose_score(options.score, classifier)
    store = None
    if cache is not None:
        known = known_of(checkpoint, backbone)
        store = ImageStore(cache, known, made_with=options.made_with, verify=options.verify)
        try:
            remember(known, asked=asked, cache=cache)
        except CacheUnusable as e:
            store.trouble = e
    if options.batch_size is None:
        backbone = fitted(backbone)
    backbone = yield from with_engine(backbone, engine=options.engine, images=len(items))
    loaded = time.perf_counter()
    threads = DecodeThreads(runtime.workers, most=runtime.most_workers)
    yield from _label(
        items, backbone=backbone, classifier=classifier, kind=kind, options=options, store=store, threads=threads
    )
    watch = threads.watch
    yield TimeSpent(
        total=time.perf_counter() - started,
        load=loaded - started,
        read=watch["read"],
        decode=watch["decode"],
        wait=watch["wait"],
        copy=watch["copy"],
        encode=watch["embed"] - watch["wait"] - watch["copy"],
        write=watch["write"],
        workers=threads.count,
    )


def classifier_only(
    recipe: Recipe, *, asked: Asked, cache: Cache, options: ClassifySettings
) -> Generator[Event, None, Classifier]:
    """The classifier of a recipe, without the image tower."""
    checkpoint = yield from backbones.find(asked.model)()
    classifier, _ = yield from classifier_and_backbone(
        recipe, checkpoint=checkpoint, runtime=_runtime(options), cache=cache, towers=()
    )
    return classifier


def _label(
    items: Sequence[ImageItem],
    *,
    backbone: Backbone,
    classifier: Classifier,
    kind: str,
    options: ClassifySettings,
    store: ImageStore | None,
    threads: DecodeThreads,
) -> Generator[Event, None, None]:
    looked_up = items if store is None else store.look_up(items)
    watch = threads.watch
    decoded = _batches(looked_up, backbone=backbone, decode=options.decode, threads=threads)
    embeddings = embed(watch.each(decoded, work="wait"), backbone=backbone, watch=watch)
    for embedded in watch.each(embeddings, work="embed"):
        yield from map(Warned, embedded.notes)
        if store is not None:
            store.keep(embedded)
            if store.trouble is not None:
                yield Warned(f"{store.trouble}; going on without it")
                store = None
        values = score(embedded.embeddings, classifier, kind=kind)
        rows = RowsReady(tuple(to_rows(Scores(embedded.entries, values), classifier.labels, top_k=options.top_k)))
        with watch.on("write"):
            yield rows


def _batches(
    items: Iterable[ImageItem | Remembered], *, backbone: Backbone, decode: str, threads: DecodeThreads
) -> Iterator[Batch]:
    preprocessing, size = backbone.preprocessing, backbone.runtime.batch_size
    if decode == "card":
        return card.batches(
            items, preprocessing=preprocessing, device=backbone.runtime.device, batch_size=size, threads=threads
        )
    resize, least = resizer(preprocessing), least_pixels(preprocessing, decode=decode)
    return batches(items, resize=resize, batch_size=size, threads=threads, least=least)


def _runtime(options: ClassifySettings) -> Runtime:
    return choose_runtime(
        device=options.device, precision=options.precision, batch_size=options.batch_size, workers=options.workers
    )
