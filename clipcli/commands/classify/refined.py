"""Refines the classifier of a run on all its images, before the first row: for `--refine`."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np

from clipcli.errors import UsageError
from clipcli.events import Event, ImagesGathered, Refined
from clipcli.records import Embedded
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import check_refinable, refine


def refine_first(
    events: Iterable[Event | Embedded], classifier: Classifier, *, kind: str, images: int
) -> Generator[Event, None, tuple[Classifier, list[Embedded]]]:
    """Gather all embeddings of the run, refine the classifier on them, and return both.

    Raises `UsageError` if scores of this kind, or of this classifier, cannot be refined.
    """
    check_refinable(classifier)
    if kind != "softmax":
        raise UsageError(
            f"refining weighs the classes against each other, which scores of the kind {kind} do not; refine with"
            " --score softmax, or leave --refine away"
        )
    gathered: list[Embedded] = []
    done = 0
    for event in events:
        if not isinstance(event, Embedded):
            yield event
            continue
        gathered.append(event)
        done += len(event.entries)
        yield ImagesGathered(done, images)
    dimensions = classifier.class_embeddings.shape[1]
    nothing = np.empty((0, dimensions), np.float32)
    refinement = refine(np.concatenate([nothing, *(event.embeddings[0] for event in gathered)]), classifier)
    yield Refined(refinement.images, refinement.changed, refinement.reason)
    return refinement.classifier, gathered
