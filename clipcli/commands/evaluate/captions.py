"""`evaluate` on images with captions: retrieval both ways."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clipcli.backbones.checkpoint import TEXT
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.commands.evaluate import comparison, retrieval
from clipcli.commands.evaluate.images import embedded, shares
from clipcli.commands.evaluate.models import memory_of, opened
from clipcli.commands.evaluate.request import EvaluateOptions
from clipcli.commands.evaluate.results import Array, Evaluation, RetrievalRun
from clipcli.commands.evaluate.tables import names_of
from clipcli.data.labelled.read import RETRIEVAL
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.pairs.pair import Data
from clipcli.encoding.embed import towers_for
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound
from clipcli.records import Entry, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone


def run(options: EvaluateOptions, data: Sequence[tuple[str, Data]]) -> Generator[Event, None, Evaluation]:
    """Recall of every model on every DATA, all with one decode of the images."""
    read = _read(options, data)
    yield InputsFound(sum(len(found.pairs) for _, found in read))
    memory = memory_of(options)
    models = yield from opened(options.model or (DEFAULT_MODEL,), options, memory=memory)
    items = [pair.item for _, found in read for pair in found.pairs]
    backbones = []
    for model in models:
        backbones += [(yield from model.load(*towers_for(items, model=model), TEXT))]
    entries, embeddings = yield from embedded(items, models=models)
    runs: list[RetrievalRun] = []
    parts = shares(entries, embeddings, sizes=[(name, len(found.pairs)) for name, found in read])
    for (name, found), (mine, images) in zip(read, parts, strict=True):
        runs += [_retrieved(name, found, mine, one, backbone) for backbone, one in zip(backbones, images, strict=True)]
    runtime = backbones[0].runtime
    evaluation = Evaluation(RETRIEVAL, (), tuple(runs), runtime.device, runtime.precision)
    return replace(evaluation, differences=comparison.differences(runs, names_of(evaluation)))


def _read(options: EvaluateOptions, data: Sequence[tuple[str, Data]]) -> list[tuple[str, PairsRead]]:
    given = {
        "--prompts": bool(options.prompts),
        "--compare": options.compare is not None,
        "--linear-probe": options.linear_probe is not None,
        "--shots": options.shots != (None,),
        "--seeds": options.seeds is not None,
        "--allow-empty": options.allow_empty,
    }
    for flag in (flag for flag, is_given in given.items() if is_given):
        raise UsageError(
            f"{flag} is for images with labels, and {data[0][1].text} has captions; leave it out,"
            " or name the classes with --labels FILE"
        )
    columns = PairOptions((), image_column=options.image_column, caption_column=options.caption_column)
    read = [(name, read_pairs(one.text, options=columns)) for name, one in data]
    for name, found in read:
        if len(found.pairs) < 2:
            raise UsageError(f"{name}: one image with captions only; expected at least two to choose from")
    return read


def _retrieved(
    name: str, found: PairsRead, entries: Sequence[Entry], images: Array, backbone: Backbone
) -> RetrievalRun:
    pairs = [pair for pair, entry in zip(found.pairs, entries, strict=True) if not isinstance(entry, Skipped)]
    captions = [caption for pair in pairs for caption in pair.captions]
    texts: Array = backbone.encode_texts(captions).cpu().numpy().astype(np.float32)
    everything = (*entries, *found.skipped)
    return retrieval.retrieved(pairs, images, texts, entries=everything, data=name, backbone=backbone)
