"""A first look at what a linear classifier makes of the images as the starting model embeds them.

Where it is far better than the texts of the classes are, the embeddings tell the classes apart already: the image tower
may stay as it is, and the texts shall learn. That is cheap, and keeps what the images of other classes look like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipcli.backbones.backbone import Backbone
from clipcli.commands.train.stored import StoredImages
from clipcli.data.pairs import Pair
from clipcli.encoding.ensemble import class_embeddings
from clipcli.scoring.adapt import adapted
from clipcli.scoring.adaptation import Accuracy
from clipcli.scoring.classifier import Classifier

# Images that are looked at, and prompts of a class: more would say the same.
_MOST, _PROMPTS = 4_000, 8


def first_look(pairs: Sequence[Pair], stored: StoredImages, backbone: Backbone, *, seed: int) -> Accuracy | None:
    """The share of images that are right by the texts of their classes, and by a linear classifier, both held out.

    Looks at 4,000 images at most. `None` for pairs without classes, and where fewer than ten images can be held out.
    """
    drawn = np.random.default_rng(seed).permutation(len(pairs))[:_MOST]
    kept = [int(n) for n in np.sort(drawn) if int(n) not in stored.skipped]
    labels = [pairs[n].label for n in kept]
    if not kept or None in labels:
        return None
    prompts = {pairs[n].label: pairs[n].captions[:: max(1, len(pairs[n].captions) // _PROMPTS)] for n in kept}
    places = {label: n for n, label in enumerate(prompts)}
    classifier = Classifier(
        class_embeddings=class_embeddings(list(prompts.values()), backbone=backbone),
        labels=tuple(map(str, prompts)),
        model=backbone.name,
        fingerprint=backbone.fingerprint,
        prompts="",
        precision="fp32",
        logit_scale=backbone.logit_scale,
        logit_bias=backbone.logit_bias,
        score=backbone.score,
    )
    truth = np.array([places[label] for label in labels], dtype=np.intp)
    return adapted(stored.embeddings[kept, 0], truth, classifier)[1]
