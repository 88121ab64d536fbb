"""Retrieval metrics: recall at 1, 5 and 10 of captions by images, and of images by captions.

As in CLIP_benchmark, an image counts as found if any of its captions is among the `k` nearest, and a caption if its
image is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.chunks import in_chunks
from clipcli.commands.evaluate.results import RETRIEVAL_METRICS, Float32Array, IndexArray, RetrievalRun
from clipcli.data.pairs import Pair
from clipcli.records import Entry
from clipcli.scoring.intervals import Estimate, bootstrap, mean_of, ratio_of
from clipcli.scoring.metrics import recall_both_ways

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone


def evaluate_retrieval(
    pairs: Sequence[Pair],
    images: Float32Array,
    texts: Float32Array,
    *,
    entries: tuple[Entry, ...],
    data: str,
    backbone: Backbone,
) -> RetrievalRun:
    """Evaluate one model on one DATA.

    `images` `[M, D]` are the embeddings of the images of the pairs, `texts` `[T, D]` those of all their captions in
    order. `entries` are all images of the DATA.
    """
    owners = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
    captions = [caption for pair in pairs for caption in pair.captions]
    hits = recall_both_ways(images, texts, image_groups=np.arange(len(pairs)), text_groups=owners)
    nearest, scores, own, ranks = _nearest_texts(images, texts, owners)
    return RetrievalRun(
        data=data,
        model=backbone.name,
        fingerprint=backbone.fingerprint,
        entries=entries,
        captions=len(captions),
        nearest=tuple(captions[n] for n in nearest),
        own=tuple(captions[n] for n in own),
        scores=scores,
        ranks=ranks,
        metrics=estimate_recall(hits, owners, images=len(pairs)),
    )


def estimate_recall(
    hits: Mapping[str, NDArray[np.bool_]], owners: IndexArray, *, images: int
) -> dict[str, Estimate | None]:
    """Recall with intervals, from the `hits` of each metric: `[M]` for images, `[T]` for texts.

    `owners` `[T]` is the image of each text. The bootstrap draws an image with all its captions.
    """
    captions = np.bincount(owners, minlength=images)
    statistics = {
        name: mean_of(found)
        if name.startswith("image_to_text")
        else ratio_of(np.bincount(owners, weights=found, minlength=images), captions)
        for name, found in hits.items()
    }
    estimates = bootstrap(statistics, count=images)
    return {name: estimates[name] for name in RETRIEVAL_METRICS}


def _nearest_texts(
    images: Float32Array, texts: Float32Array, owners: IndexArray
) -> tuple[IndexArray, Float32Array, IndexArray, IndexArray]:
    """For each image: its nearest text, that one's similarity, the nearest of its own texts, and the rank of the last.

    All are `[M]`; texts are indices, and ranks count from 1.
    """
    nearest, scores, nearest_own, ranks = [], [], [], []
    for rows in in_chunks(len(images)):
        similarity = images[rows] @ texts.T
        is_own = owners[None, :] == np.arange(rows.start, rows.start + len(similarity))[:, None]
        own = np.where(is_own, similarity, -np.inf).argmax(axis=1)[:, None]
        own_similarity = np.take_along_axis(similarity, own, axis=1)
        # Of equally near texts the earlier one comes first.
        before = (similarity > own_similarity) | ((similarity == own_similarity) & (np.arange(len(texts)) < own))
        ranks.append(before.sum(axis=1) + 1)
        nearest_own.append(own[:, 0])
        nearest.append(similarity.argmax(axis=1))
        scores.append(similarity.max(axis=1))
    return np.concatenate(nearest), np.concatenate(scores), np.concatenate(nearest_own), np.concatenate(ranks)
