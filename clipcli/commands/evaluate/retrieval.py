"""Which caption belongs to which image: recall at 1, 5 and 10, both ways.

As CLIP_benchmark counts it: an image is found where any of its captions is among the `k` nearest, and a caption where
its image is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.intervals import Estimate, estimates, mean_of, ratio_of
from clipcli.commands.evaluate.results import RETRIEVAL_METRICS, Array, Places, RetrievalRun
from clipcli.data.pairs.pair import Pair
from clipcli.records import Entry
from clipcli.scoring.metrics import recall_both_ways

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone

_ROWS = 1024


def measured(hits: dict[str, NDArray[np.bool_]], owners: Places, *, images: int) -> dict[str, Estimate | None]:
    """Recalls with their intervals, each image drawn with all its captions; `owners` `[T]` says whose they are."""
    captions = np.bincount(owners, minlength=images)
    statistics = {
        name: mean_of(found)
        if name.startswith("image_to_text")
        else ratio_of(np.bincount(owners, weights=found, minlength=images), captions)
        for name, found in hits.items()
    }
    found = estimates(statistics, count=images)
    return {name: found[name] for name in RETRIEVAL_METRICS}


def retrieved(
    pairs: Sequence[Pair], images: Array, texts: Array, *, entries: tuple[Entry, ...], data: str, backbone: Backbone
) -> RetrievalRun:
    """All that is to be said of images `[N, D]` and of the texts `[T, D]` of all their captions, in order."""
    owners = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
    captions = [caption for pair in pairs for caption in pair.captions]
    hits = recall_both_ways(images, texts, image_groups=np.arange(len(pairs)), text_groups=owners)
    nearest, scores, own, ranks = _nearest(images, texts, owners)
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
        metrics=measured(hits, owners, images=len(pairs)),
    )


def _nearest(images: Array, texts: Array, owners: Places) -> tuple[Places, Array, Places, Places]:
    """The nearest text of each image and its similarity, the nearest of its own and that one's rank from 1."""
    nearest, scores, owned, ranks = [], [], [], []
    for start in range(0, len(images), _ROWS):
        similarity = images[start : start + _ROWS] @ texts.T
        own = owners[None, :] == np.arange(start, start + len(similarity))[:, None]
        place = np.where(own, similarity, -np.inf).argmax(axis=1)[:, None]
        value = np.take_along_axis(similarity, place, axis=1)
        # Of equally near texts the earlier one comes first.
        before = (similarity > value) | ((similarity == value) & (np.arange(len(texts)) < place))
        ranks.append(before.sum(axis=1) + 1)
        owned.append(place[:, 0])
        nearest.append(similarity.argmax(axis=1))
        scores.append(similarity.max(axis=1))
    return np.concatenate(nearest), np.concatenate(scores), np.concatenate(owned), np.concatenate(ranks)
