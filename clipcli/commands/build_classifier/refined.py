"""Refines a classifier on unlabelled images, for `--refine-on`."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.events import Event, Noted, Refined, Warned
from clipcli.records import ImageItem, Skipped
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import becomes_softmax, check_refinable, refine


def refined_on(
    items: Sequence[ImageItem], classifier: Classifier, *, model: Model
) -> Generator[Event, None, tuple[Classifier, tuple[Skipped, ...]]]:
    """The classifier, refined on these images, and those that cannot be read.

    Where refining promises nothing the classifier is as it was, and a warning says so.
    """
    check_refinable(classifier)
    if (note := becomes_softmax(classifier)) is not None:
        yield Noted(note)
    entries, [embeddings] = yield from embed_images(items, models=[model])
    refinement = refine(embeddings, classifier)
    if refinement.reason is None:
        yield Refined(refinement.images, refinement.changed, None)
    else:
        yield Warned(f"the classifier is not refined: {refinement.reason}")
    skipped = tuple(entry for entry in entries if isinstance(entry, Skipped))
    if skipped:
        first = f"such as {skipped[0].item.id}: {skipped[0].reason}"
        yield Warned(f"{len(skipped):,} of the {len(entries):,} images to refine on cannot be read, {first}")
    return refinement.classifier, skipped
