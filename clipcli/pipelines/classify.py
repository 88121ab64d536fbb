"""From images and labels to rows: one row for every input, in input order."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import Checkpoint, fingerprint
from clipcli.backbones.load import load
from clipcli.backbones.towers import IMAGE
from clipcli.cache import Cache
from clipcli.classifier import Classifier
from clipcli.embed import embed
from clipcli.engines.choose import check_engine, with_engine
from clipcli.errors import UsageError, WeightsMismatch
from clipcli.events import Event, InputsFound, ModelLoaded, RowsReady, Warned
from clipcli.images import batches, check_decode, least_pixels, resizer
from clipcli.pipelines.build_classifier import Recipe, classifier_and_backbone, read_recipe
from clipcli.rows import to_rows
from clipcli.runtime import Runtime, choose_runtime
from clipcli.score import check_score, choose_score, score
from clipcli.sources import list_images
from clipcli.types import ImageItem, Row, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyOptions:
    """What `classify` was asked to do; the fields are its arguments."""

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
) -> Iterator[Row]:
    """Rows for images, folders, globs or lists: one for each image, in order, as `clipcli classify` writes them.

    Give `labels` (a labels file, or a sequence of labels) or a `classifier` (a file, or what `build_classifier` gave).
    `prompts` is a prompt set's name, a file or a template, by default `imagenet`; `model` is whatever `--model` takes.
    A row holds the `top_k` best labels with their scores, best first; of an image that cannot be read, none, and the
    reason in `error`. Raises the errors of `clipcli.errors`, all of them before the first row but for a model that
    fails while it runs.
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
    )
    for event in run(options):
        if isinstance(event, RowsReady):
            yield from event.rows


def run(options: ClassifyOptions) -> Iterator[Event]:
    """`classify`, saying what it does. Everything is read and checked before the model is loaded."""
    made_of = _read_classifier_or_recipe(options)
    _check_top_k(options.top_k, made_of)
    check_score(options.score)
    check_decode(options.decode)
    items = list_images(options.inputs, stdin=sys.stdin)
    yield InputsFound(len(items))
    runtime = choose_runtime(
        device=options.device, precision=options.precision, batch_size=options.batch_size, workers=options.workers
    )
    check_engine(options.engine, runtime=runtime)
    stated = made_of.model if isinstance(made_of, Classifier) else backbones.DEFAULT_MODEL
    checkpoint = yield from backbones.find(stated if options.model is None else options.model)()
    if isinstance(made_of, Classifier):
        classifier, backbone = made_of, load_for(made_of, checkpoint, runtime)
        yield ModelLoaded(checkpoint.name, str(runtime), str(backbone))
    else:
        cache = Cache() if options.cache else None
        classifier, backbone = yield from classifier_and_backbone(
            made_of, checkpoint=checkpoint, runtime=runtime, cache=cache, towers=(IMAGE,)
        )
    kind = choose_score(options.score, classifier)
    backbone = yield from with_engine(backbone, engine=options.engine, images=len(items))
    yield from _label(items, backbone=backbone, classifier=classifier, kind=kind, options=options)


def _label(
    items: Sequence[ImageItem], *, backbone: Backbone, classifier: Classifier, kind: str, options: ClassifyOptions
) -> Generator[Event, None, None]:
    runtime = backbone.runtime
    resize = resizer(backbone.preprocessing)
    least = least_pixels(backbone.preprocessing, decode=options.decode)
    decoded = batches(items, resize=resize, batch_size=runtime.batch_size, workers=runtime.workers, least=least)
    for embedded in embed(decoded, backbone=backbone):
        if embedded.note:
            yield Warned(embedded.note)
        values = score(embedded.embeddings, classifier, kind=kind)
        yield RowsReady(tuple(to_rows(Scores(embedded.entries, values), classifier.labels, top_k=options.top_k)))


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


def _check_top_k(top_k: int, made_of: Classifier | Recipe) -> None:
    count = len(made_of.labels if isinstance(made_of, Classifier) else made_of.classes)
    if not 1 <= top_k <= count:
        raise UsageError(f"--top-k {top_k} does not fit {count} classes; choose from 1 to {count}")


def load_for(classifier: Classifier, checkpoint: Checkpoint, runtime: Runtime) -> Backbone:
    """The image tower that a ready classifier belongs to. Raises `WeightsMismatch` for another model's."""
    if fingerprint(checkpoint) != classifier.fingerprint:
        raise WeightsMismatch(
            f"the classifier was made with {classifier.model} and not with these weights of {checkpoint.name}; "
            f"give --model {classifier.model}, or make the classifier anew"
        )
    return load(checkpoint, runtime=runtime, towers=(IMAGE,))
