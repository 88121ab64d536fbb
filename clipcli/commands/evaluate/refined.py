"""Refined classifiers beside the plain ones, each refined on the images that it is measured on: for `--refine`."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from clipcli.commands.evaluate.results import Float32Array
from clipcli.events import Event, Noted
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import refine


def with_refined(
    classifiers: Sequence[Classifier], embeddings: Float32Array, *, data: str
) -> Generator[Event, None, list[Classifier]]:
    """Each classifier, followed by what it becomes on these embeddings; a note says which were left alone."""
    found = []
    for classifier in classifiers:
        found.append(classifier)
        refinement = refine(embeddings, classifier)
        if refinement.reason is None:
            found.append(refinement.classifier)
        else:
            yield Noted(f"{data}, {classifier.prompts}: not refined: {refinement.reason}")
    return found
