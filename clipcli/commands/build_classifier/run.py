"""Builds a classifier from labels and prompts; cached classes are not encoded again."""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import dataclass

from clipcli import backbones
from clipcli.classes.prompts import read_prompted_classes
from clipcli.commands.build_classifier.refined import refined_on
from clipcli.commands.build_classifier.settings import BuildClassifierSettings
from clipcli.commands.encoding_settings import encoding_of
from clipcli.commands.given_classes import check_standard_input
from clipcli.data.images import list_images
from clipcli.encoding.embed import towers_for
from clipcli.encoding.model import Model
from clipcli.events import Event, Warned, result_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.records import Skipped
from clipcli.scoring.build import build, build_with_vocabulary
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.score import ONE_CLASS, choose_score
from clipcli.settings import Show, api


@api(BuildClassifierSettings)
def build_classifier(settings: BuildClassifierSettings, show: Show) -> Classifier:
    """Build a classifier for `labels` (a labels file, or a sequence of labels), to classify with any number of times.

    Its `class_embeddings` are `[C, D]` float32, L2-normalised. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show).classifier


@dataclass(frozen=True, slots=True)
class Built:
    """The classifier, and the images to refine it on that could not be read, each with the reason."""

    classifier: Classifier
    skipped: tuple[Skipped, ...] = ()


def run(options: BuildClassifierSettings) -> Generator[Event, None, Built]:
    """As `build_classifier`, with its events."""
    check_standard_input(options.labels, options.refine_on)
    notices = Notices()
    prompted = read_prompted_classes(
        options.labels,
        options.prompts,
        notices,
        keep_names=options.keep_names,
        keep_duplicates=options.keep_duplicates,
        taxonomy=options.taxonomy,
    )
    items = list_images(options.refine_on, stdin=sys.stdin, notices=notices) if options.refine_on else []
    yield from notices.events()
    memory = open_memory(cache=options.cache)
    model = Model(options.model or backbones.DEFAULT_MODEL, encoding_of(options), memory=memory)
    towers = towers_for(items, model=model) if items else ()
    builder = build_with_vocabulary if options.vocabulary else build
    [classifier] = yield from builder([prompted], model=model, towers=towers)
    if len(classifier.labels) == 1 and not options.vocabulary and choose_score("auto", classifier) == "softmax":
        yield Warned(ONE_CLASS)
    if not items:
        return Built(classifier)
    return Built(*(yield from refined_on(items, classifier, model=model)))
