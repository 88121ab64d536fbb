"""Prompt sets that may do better on the images than the one in use, found without a label of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.labels.findings import Finding, images
from clipcli.scoring.blocks import nearest
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import agreement

# The general prompt sets that are tried, and by how much the agreement of another must be larger to be worth a try.
TRIED = ("imagenet", "imagenet-7", "plain", "name")
_MARGIN = 0.05


def other_prompts(
    classifier: Classifier, others: Mapping[str, Classifier], embeddings: NDArray[np.float32]
) -> Iterator[Finding]:
    """A finding if one of the `others`, by name of its prompt set, agrees clearly better with the images `[N, D]`."""
    own = agreement(embeddings, classifier)
    found = {name: agreement(embeddings, other) for name, other in others.items()}
    known = {name: share for name, share in found.items() if share is not None}
    if own is None or not known:
        return
    best = max(known, key=lambda name: known[name])
    if known[best] < own + _MARGIN:
        return
    labels = [nearest(embeddings, one.class_embeddings) for one in (classifier, others[best])]
    changed = int((labels[0] != labels[1]).sum())
    yield Finding(
        "prompts",
        (),
        f"with the prompts {best}, {known[best]:.0%} of the labels fit what the images have in common, and with"
        f" {classifier.prompts} {own:.0%}",
        f"try --prompts {best}, and look at what changes",
        f"{images(changed)} of {len(embeddings):,} get another label",
    )
