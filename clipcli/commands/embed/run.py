"""Embeds images or texts, in input order."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.given import STDIN
from clipcli.commands.embed.settings import EmbedSettings
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.errors import BadFile, ClipcliError, InputNotFound, UsageError
from clipcli.events import Event, InputsFound, Warned, result_of
from clipcli.files.names import note_names
from clipcli.files.text import decoded
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.outputs.embeddings import IMAGES, TEXTS, Embeddings, LeftOut
from clipcli.records import ImageItem, Skipped
from clipcli.scoring.build import embed_classes
from clipcli.settings import Show, api


@api(EmbedSettings)
def embed(settings: EmbedSettings, show: Show) -> Embeddings:
    """Embed images, or the texts of a file: `ids` and `embeddings` `[N, D]`, L2-normalised, in input order.

    An image that cannot be read has no row; it is in `skipped`, and a warning says how many there are. The result's
    `save` writes it to a file. A program that embeds again and again loads the model once, with `clipcli.load`.

    Raises the errors of `clipcli.errors`.
    """
    found = result_of(run(settings), show=show)
    if found.skipped:
        first, count = found.skipped[0], len(found.skipped)
        of_all = f"{count:,} of {len(found.ids) + count:,} images cannot be read"
        show(Warned(f"{of_all}, such as {first.id}: {first.reason}; they have no row"))
    return found


def run(options: EmbedSettings) -> Generator[Event, None, Embeddings]:
    """As `embed`, with its events. Everything is read and checked before a model is loaded."""
    if options.texts is not None and options.inputs:
        raise UsageError("both images and --texts were given; embed them one after the other")
    if options.texts is None and not options.inputs:
        raise UsageError("missing argument 'INPUT'; see clipcli embed --help")
    notices = Notices()
    texts = None if options.texts is None else _read_texts(options.texts, notices)
    items = _items(options, notices) if texts is None else []
    note_names((item.id for item in items), notices)
    yield from notices.events()
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    model = Model(options.model or DEFAULT_MODEL, options, memory=memory)
    model.check()
    yield from memory.warnings()
    if texts is not None:
        return (yield from _of_texts(texts, model=model))
    yield InputsFound(len(items))
    return (yield from _of_images(items, model=model))


def _items(options: EmbedSettings, notices: Notices) -> list[ImageItem]:
    return list_images(
        options.inputs,
        stdin=sys.stdin,
        image_column=options.image_column,
        notices=notices,
        exclude=options.exclude,
        also=options.also,
        null=options.null,
    )


def _of_images(items: list[ImageItem], *, model: Model) -> Generator[Event, None, Embeddings]:
    entries, [embeddings] = yield from embed_images(items, models=[model])
    skipped = tuple(
        LeftOut(n, entry.item.id, entry.reason) for n, entry in enumerate(entries) if isinstance(entry, Skipped)
    )
    ids = tuple(entry.id for entry in entries if isinstance(entry, ImageItem))
    if model.facts is None or not ids:
        raise ClipcliError(f"none of {len(skipped):,} images can be read, such as {skipped[0].id}: {skipped[0].reason}")
    return Embeddings(ids, embeddings, IMAGES, model.facts.record(None), skipped)


def _of_texts(texts: tuple[str, ...], *, model: Model) -> Generator[Event, None, Embeddings]:
    each = [(text,) for text in texts]
    embeddings = np.stack((yield from embed_classes(each, names=each, model=model)))
    if model.facts is None:
        raise ClipcliError(f"nothing is known of {model.name}; run it again")
    return Embeddings(texts, embeddings, TEXTS, model.facts.record(None))


def _read_texts(file: str, notices: Notices) -> tuple[str, ...]:
    """The lines of the file that are not empty. Raises `InputNotFound`, and `BadFile` if there are none."""
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as e:
        raise InputNotFound(f"cannot read {file}: {e.strerror}; check the path after --texts") from None
    name = "standard input" if file == STDIN else file
    lines = [line.strip() for line in decoded(data, name=name, notices=notices).splitlines()]
    texts = tuple(line for line in lines if line)
    if not texts:
        raise BadFile(f"{name}: no texts in it; write one a line")
    return texts
