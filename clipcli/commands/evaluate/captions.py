"""Evaluates models on images with captions: retrieval in both directions."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clipcli.backbones.checkpoint import TEXT
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.commands.evaluate import comparison
from clipcli.commands.evaluate.images import split_by_data
from clipcli.commands.evaluate.models import open_models
from clipcli.commands.evaluate.results import Evaluation, Float32Array, RetrievalRun
from clipcli.commands.evaluate.retrieval import evaluate_retrieval
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.tables import run_names
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.task import RETRIEVAL
from clipcli.data.tree import Data
from clipcli.encoding.embed import embed_images, towers_for
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound
from clipcli.notices import Notices
from clipcli.records import Entry, Skipped

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone


def run(
    options: EvaluateSettings, data: Sequence[tuple[str, Data]], notices: Notices
) -> Generator[Event, None, Evaluation]:
    """Evaluate every model on every DATA; each image is decoded once for all models.

    Raises the errors of data and models.
    """
    pairs_read = _read(options, data)
    yield from notices.events()
    yield InputsFound(sum(len(read.pairs) for _, read in pairs_read))
    models = yield from open_models(options.model or (DEFAULT_MODEL,), options)
    items = [pair.item for _, read in pairs_read for pair in read.pairs]
    backbones = []
    for model in models:
        backbones += [(yield from model.load(*towers_for(items, model=model), TEXT))]
    entries, embeddings = yield from embed_images(items, models=models)
    parts = split_by_data(entries, embeddings, sizes=[(name, len(read.pairs)) for name, read in pairs_read])
    runs: list[RetrievalRun] = []
    for (name, read), (data_entries, data_embeddings) in zip(pairs_read, parts, strict=True):
        runs += [
            _evaluate_run(name, read, data_entries, images, backbone)
            for backbone, images in zip(backbones, data_embeddings, strict=True)
        ]
    runtime = backbones[0].runtime
    evaluation = Evaluation(RETRIEVAL, (), tuple(runs), runtime.kind, runtime.precision)
    return replace(evaluation, differences=comparison.differences(runs, run_names(evaluation)))


def _read(options: EvaluateSettings, data: Sequence[tuple[str, Data]]) -> list[tuple[str, PairsRead]]:
    """Read the pairs of each DATA, by its name. Raises `UsageError` if there is only one image."""
    columns = PairOptions((), image_column=options.image_column, caption_column=options.caption_column)
    pairs_read = [(name, read_pairs(one, options=columns)) for name, one in data]
    for name, read in pairs_read:
        if len(read.pairs) < 2:
            raise UsageError(f"{name}: one image with captions only; expected at least two to choose from")
    return pairs_read


def _evaluate_run(
    name: str, read: PairsRead, entries: Sequence[Entry], images: Float32Array, backbone: Backbone
) -> RetrievalRun:
    """Encode the captions of the images that could be read, and evaluate their retrieval."""
    pairs = [pair for pair, entry in zip(read.pairs, entries, strict=True) if not isinstance(entry, Skipped)]
    captions = [caption for pair in pairs for caption in pair.captions]
    texts: Float32Array = backbone.encode_texts(captions).cpu().numpy().astype(np.float32)
    return evaluate_retrieval(pairs, images, texts, entries=(*entries, *read.skipped), data=name, backbone=backbone)
