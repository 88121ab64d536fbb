"""From images and labels to rows: one row for every input, in input order."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli import backbones
from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.prompts import Recipe, read_recipe
from clipcli.commands.classify.relabel import all_seen, known_classifier, relabel
from clipcli.data.images import list_images
from clipcli.errors import CacheUnusable, UsageError
from clipcli.events import Event, InputsFound, RowsReady, Warned
from clipcli.memory.cache import Cache, read_size
from clipcli.memory.images import ImageStore
from clipcli.memory.models import Asked, recall
from clipcli.outputs import resume
from clipcli.records import ImageItem, Row
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.score import check_score

# If all of so many images were seen before, probably all were.
_LOOK_AHEAD = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyOptions:
    """What `classify` was asked to do; the fields are its arguments, and rows to go on with."""

    inputs: tuple[str, ...]
    labels: str | Path | Sequence[str] | None = None
    classifier: str | Path | Classifier | None = None
    prompts: str | None = None
    model: str | None = None
    score: str = "auto"
    top_k: int = 1
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    decode: str = "exact"
    engine: str = "auto"
    cache: bool = True
    cache_size: str | None = None
    verify: bool = False
    image_column: str | None = None
    resume: resume.Earlier | None = None

    @property
    def made_with(self) -> tuple[str, ...]:
        """What image embeddings depend on beside the model. What `auto` chooses gives the same but for rounding."""
        return self.decode, self.engine


def classify(
    inputs: str | Path | Sequence[str | Path],
    *,
    labels: str | Path | Sequence[str] | None = None,
    classifier: str | Path | Classifier | None = None,
    prompts: str | None = None,
    model: str | Path | None = None,
    score: str = "auto",
    top_k: int = 1,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    decode: str = "exact",
    engine: str = "auto",
    cache: bool = True,
    cache_size: str | None = None,
    verify: bool = False,
    image_column: str | None = None,
) -> Iterator[Row]:
    """Rows for images, folders, globs, lists, shards or tables: one for each image, in order, as the command writes.

    Give `labels` (a labels file, or a sequence of labels) or a `classifier` (a file, or what `build_classifier` gave).
    Of a table the images are in the column `image_column`, by default one that is called as is usual.
    `prompts` is a prompt set's name, a file or a template, by default `imagenet`; `model` is whatever `--model` takes.
    A row holds the `top_k` best labels with their scores, best first; of an image that cannot be read, none, and the
    reason in `error`. Embeddings are kept in a cache of at most `cache_size`, such as `500MB`, and taken from there for
    images whose path, size and time, or with `verify` content, are the same. Raises the errors of `clipcli.errors`, all
    of them before the first row but for a model that fails while it runs, or that is needed for a later row only.
    """
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    options = ClassifyOptions(
        inputs=tuple(str(path) for path in paths),
        labels=labels,
        classifier=classifier,
        prompts=prompts,
        model=None if model is None else str(model),
        score=score,
        top_k=top_k,
        device=device,
        precision=precision,
        batch_size=batch_size,
        workers=workers,
        decode=decode,
        engine=engine,
        cache=cache,
        cache_size=cache_size,
        verify=verify,
        image_column=image_column,
    )
    for event in run(options):
        if isinstance(event, RowsReady):
            yield from event.rows


def run(options: ClassifyOptions) -> Iterator[Event]:
    """`classify`, saying what it does. Everything is read and checked before a model is loaded.

    None is loaded as long as all that is needed is in the cache: torch takes longer to import than thousands of rows.
    """
    made_of = _read_classifier_or_recipe(options)
    _check_top_k(options.top_k, made_of)
    check_score(options.score)
    cache = Cache(limit=_limit(options)) if options.cache else None
    items = list_images(options.inputs, stdin=sys.stdin, image_column=options.image_column)
    resumed = options.resume and resume.check(options.resume, items, labels=_labels(made_of))
    yield InputsFound(len(items), resumed.count if resumed else 0)
    if not resumed:
        yield from _label(items, made_of, cache, options)
    elif resumed.count == len(items):
        yield from resumed.rows(resumed.count)
    else:
        unit = options.batch_size or max(BATCH_SIZES.values())
        start = resumed.start(unit)
        labelled = _label(items[start:], made_of, cache, options)
        yield from resume.go_on(resumed, labelled, start=start, window=2 * unit)


def _label(
    items: Sequence[ImageItem], made_of: Classifier | Recipe, cache: Cache | None, options: ClassifyOptions
) -> Iterator[Event]:
    stated = made_of.model if isinstance(made_of, Classifier) else DEFAULT_MODEL
    asked = Asked(backbones.placed(options.model or stated), options.device, options.precision)
    done = 0
    if cache is not None:
        try:
            done = yield from _seen_before(items, made_of, asked, cache, options)
        except CacheUnusable as e:
            yield Warned(f"{e}; going on without it")
            cache = None
    if done < len(items):
        from clipcli.commands.classify import encode

        yield from encode.label(items[done:], made_of=made_of, asked=asked, cache=cache, options=options)


def _seen_before(
    items: Sequence[ImageItem], made_of: Classifier | Recipe, asked: Asked, cache: Cache, options: ClassifyOptions
) -> Generator[Event, None, int]:
    """Rows of the first images, as far as they are known from earlier runs; gives how many there are."""
    known = recall(asked, cache=cache)
    if known is None:
        return 0
    store = ImageStore(cache, known, made_with=options.made_with, verify=options.verify)
    classifier = known_classifier(made_of, known, cache=cache)
    if classifier is None and isinstance(made_of, Recipe) and all_seen(items[:_LOOK_AHEAD], store=store):
        from clipcli.commands.classify import encode

        # Only prompts are new, as it seems: the image tower may stay where it is.
        classifier = yield from encode.classifier_only(made_of, asked=asked, cache=cache, options=options)
    if classifier is None:
        return 0
    return (
        yield from relabel(
            items,
            made_of=made_of,
            classifier=classifier,
            known=known,
            store=store,
            score_kind=options.score,
            top_k=options.top_k,
        )
    )


def _limit(options: ClassifyOptions) -> int | None:
    return None if options.cache_size is None else read_size(options.cache_size)


def _read_classifier_or_recipe(options: ClassifyOptions) -> Classifier | Recipe:
    if (options.labels is None) == (options.classifier is None):
        given = "neither labels nor a classifier was" if options.labels is None else "both labels and a classifier were"
        raise UsageError(f"{given} given; give --labels FILE or --classifier FILE")
    if options.labels is not None:
        return read_recipe(options.labels, options.prompts)
    if options.prompts is not None:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    if isinstance(options.classifier, Classifier):
        return options.classifier
    return Classifier.load(options.classifier or "")


def _labels(made_of: Classifier | Recipe) -> Sequence[str]:
    return made_of.labels if isinstance(made_of, Classifier) else [labelled.label for labelled in made_of.classes]


def _check_top_k(top_k: int, made_of: Classifier | Recipe) -> None:
    count = len(_labels(made_of))
    if not 1 <= top_k <= count:
        raise UsageError(f"--top-k {top_k} does not fit {count} classes; choose from 1 to {count}")
