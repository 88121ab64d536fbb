"""Refines a classifier on unlabelled images, for `--refine-on`."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from clipcli.encoding.embed import embed
from clipcli.encoding.model import Model
from clipcli.events import Event, ImagesEmbedded, Refined, Warned
from clipcli.records import Embedded, ImageItem
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import refine


def refined_on(
    items: Sequence[ImageItem], classifier: Classifier, *, model: Model
) -> Generator[Event, None, Classifier]:
    """The classifier, refined on these images; where that promises nothing it is as it was, and a warning says so."""
    parts = [np.empty((0, classifier.class_embeddings.shape[1]), np.float32)]
    done = 0
    for event in embed(items, models=[model]):
        if not isinstance(event, Embedded):
            yield event
            continue
        parts.append(event.embeddings[0])
        done += len(event.entries)
        yield ImagesEmbedded(done, len(items))
    refinement = refine(np.concatenate(parts), classifier)
    if refinement.reason is None:
        yield Refined(refinement.images, refinement.changed, None)
    else:
        yield Warned(f"the classifier is not refined: {refinement.reason}")
    skipped = done - refinement.images
    if skipped:
        yield Warned(f"{skipped:,} of the {done:,} images to refine on cannot be read; the others were taken")
    return refinement.classifier
