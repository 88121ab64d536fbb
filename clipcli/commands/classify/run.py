"""From images and labels to rows: one row for every input, in input order."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.backbones.devices import BATCH_SIZES
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.prompts import PromptedClasses, read_prompted_classes
from clipcli.data.sources import list_images
from clipcli.encoding.embed import embed, towers_for
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, RowsReady
from clipcli.memory.cache import Cache, read_size
from clipcli.memory.memory import Memory
from clipcli.outputs import resume
from clipcli.records import Embedded, ImageItem, Row, Scores
from clipcli.scoring.build import build, check_belongs
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import check_score, choose_score, score


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
    resume: resume.Earlier | None = None


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
) -> Iterator[Row]:
    """Rows for images, folders, globs or lists: one for each image, in order, as `clipcli classify` writes them.

    Give `labels` (a labels file, or a sequence of labels) or a `classifier` (a file, or what `build_classifier` gave).
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
    )
    for event in run(options):
        if isinstance(event, RowsReady):
            yield from event.rows


def run(options: ClassifyOptions) -> Iterator[Event]:
    """`classify`, saying what it does. Everything is read and checked before a model is loaded.

    None is loaded as long as all that is needed is in the cache: torch takes longer to import than thousands of rows.
    """
    made_of = _read_classifier_or_classes(options)
    _check_top_k(options.top_k, made_of)
    check_score(options.score)
    memory = Memory(Cache(limit=_limit(options)) if options.cache else None)
    items = list_images(options.inputs, stdin=sys.stdin)
    resumed = options.resume and resume.check(options.resume, items, labels=_labels(made_of))
    yield InputsFound(len(items), resumed.count if resumed else 0)
    if not resumed:
        yield from _label(items, made_of, memory, options)
    elif resumed.count == len(items):
        yield from resumed.rows(resumed.count)
    else:
        unit = options.batch_size or max(BATCH_SIZES.values())
        start = resumed.start(unit)
        labelled = _label(items[start:], made_of, memory, options)
        yield from resume.go_on(resumed, labelled, start=start, window=2 * unit)


def _label(
    items: Sequence[ImageItem], made_of: Classifier | PromptedClasses, memory: Memory, options: ClassifyOptions
) -> Iterator[Event]:
    """The rows of these images: embedded, scored, and the best labels taken."""
    stated = made_of.model if isinstance(made_of, Classifier) else DEFAULT_MODEL
    model = Model(options.model or stated, options, memory=memory)
    yield from memory.warnings()
    classifier = yield from _classifier(items, made_of, model)
    kind = choose_score(options.score, classifier)
    for event in embed(items, models=[model]):
        if isinstance(event, Embedded):
            scores = Scores(event.entries, score(event.embeddings[0], classifier, kind=kind))
            yield RowsReady(tuple(to_rows(scores, classifier.labels, top_k=options.top_k)))
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


def _limit(options: ClassifyOptions) -> int | None:
    return None if options.cache_size is None else read_size(options.cache_size)


def _read_classifier_or_classes(options: ClassifyOptions) -> Classifier | PromptedClasses:
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
