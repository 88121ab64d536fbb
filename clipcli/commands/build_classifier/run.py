"""From labels and prompts to a classifier: what is in the cache is taken from there, class by class."""

from __future__ import annotations

from collections.abc import Generator

from clipcli import backbones
from clipcli.backbones.runtime import choose_runtime
from clipcli.classes.prompts import read_recipe
from clipcli.commands.build_classifier.settings import BuildClassifierSettings
from clipcli.events import Event, result_of
from clipcli.memory.cache import Cache
from clipcli.scoring.build import classifier_and_backbone
from clipcli.scoring.classifier import Classifier
from clipcli.settings import api


@api(BuildClassifierSettings)
def build_classifier(settings: BuildClassifierSettings) -> Classifier:
    """A classifier for `labels` (a labels file, or a sequence of labels), to use again and again.

    Its `class_embeddings` are `[C, D]` float32, L2-normalised. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings))


def run(options: BuildClassifierSettings) -> Generator[Event, None, Classifier]:
    """`build_classifier`, saying what it does."""
    recipe = read_recipe(options.labels, options.prompts)
    runtime = choose_runtime(device=options.device, precision=options.precision)
    checkpoint = yield from backbones.find(backbones.DEFAULT_MODEL if options.model is None else options.model)()
    classifier, _ = yield from classifier_and_backbone(
        recipe, checkpoint=checkpoint, runtime=runtime, cache=Cache() if options.cache else None, towers=()
    )
    return classifier
