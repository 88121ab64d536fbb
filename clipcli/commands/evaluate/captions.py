"""`evaluate` on images with captions: retrieval both ways."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.load import load
from clipcli.backbones.runtime import Runtime, choose_runtime
from clipcli.backbones.towers import IMAGE, TEXT
from clipcli.commands.evaluate import comparison, retrieval
from clipcli.commands.evaluate.results import Array, Evaluation, RetrievalRun
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.tables import names_of
from clipcli.data.labelled.read import RETRIEVAL
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.pairs.pair import Data
from clipcli.encoding.embed_images import embed_images, shares
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, ModelLoaded
from clipcli.records import Entry, Skipped


def run(options: EvaluateSettings, data: Sequence[tuple[str, Data]]) -> Generator[Event, None, Evaluation]:
    """Recall of every model on every DATA, all with one decode of the images."""
    read = _read(options, data)
    yield InputsFound(sum(len(found.pairs) for _, found in read))
    runtime = choose_runtime(
        device=options.device, precision=options.precision, batch_size=options.batch_size, workers=options.workers
    )
    models = yield from _load(options, runtime)
    items = [pair.item for _, found in read for pair in found.pairs]
    entries, embeddings = yield from embed_images(items, backbones=models)
    runs: list[RetrievalRun] = []
    parts = shares(entries, embeddings, sizes=[(name, len(found.pairs)) for name, found in read])
    for (name, found), (mine, images) in zip(read, parts, strict=True):
        runs += [_retrieved(name, found, mine, one, backbone) for backbone, one in zip(models, images, strict=True)]
    evaluation = Evaluation(RETRIEVAL, (), tuple(runs), runtime.device, runtime.precision)
    return replace(evaluation, differences=comparison.differences(runs, names_of(evaluation)))


def _read(options: EvaluateSettings, data: Sequence[tuple[str, Data]]) -> list[tuple[str, PairsRead]]:
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


def _load(options: EvaluateSettings, runtime: Runtime) -> Generator[Event, None, list[Backbone]]:
    checkpoints = yield from backbones.fetch_all(options.model or (backbones.DEFAULT_MODEL,))
    loaded = []
    for checkpoint in checkpoints:
        backbone = load(checkpoint, runtime=runtime, towers=(IMAGE, TEXT))
        yield ModelLoaded(checkpoint.name, str(runtime), str(backbone))
        loaded.append(backbone)
    return loaded


def _retrieved(
    name: str, found: PairsRead, entries: Sequence[Entry], images: Array, backbone: Backbone
) -> RetrievalRun:
    pairs = [pair for pair, entry in zip(found.pairs, entries, strict=True) if not isinstance(entry, Skipped)]
    captions = [caption for pair in pairs for caption in pair.captions]
    texts: Array = backbone.encode_texts(captions).cpu().numpy().astype(np.float32)
    everything = (*entries, *found.skipped)
    return retrieval.retrieved(pairs, images, texts, entries=everything, data=name, backbone=backbone)
