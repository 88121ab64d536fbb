"""From labels and prompts to a classifier: what is in the cache is taken from there, class by class."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from clipcli import backbones
from clipcli.classes.prompts import read_prompted_classes
from clipcli.commands.build_classifier.settings import BuildClassifierSettings
from clipcli.encoding.model import Model
from clipcli.events import Event, result_of
from clipcli.memory.cache import Cache
from clipcli.memory.memory import Memory
from clipcli.scoring.build import build
from clipcli.scoring.classifier import Classifier
from clipcli.settings import api


@api(BuildClassifierSettings)
def build_classifier(settings: BuildClassifierSettings) -> Classifier:
    """A classifier for `labels` (a labels file, or a sequence of labels), to use again and again.

    Its `class_embeddings` are `[C, D]` float32, L2-normalised. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TextOnly:
    """How the text tower runs; no image is encoded."""

    device: str
    precision: str
    batch_size: int | None = None
    workers: int | None = None
    decode: str = "exact"
    engine: str = "auto"
    verify: bool = False


def run(options: BuildClassifierSettings) -> Generator[Event, None, Classifier]:
    """`build_classifier`, saying what it does."""
    prompted = read_prompted_classes(options.labels, options.prompts)
    memory = Memory(Cache() if options.cache else None)
    runs = _TextOnly(device=options.device, precision=options.precision)
    model = Model(options.model or backbones.DEFAULT_MODEL, runs, memory=memory)
    [classifier] = yield from build([prompted], model=model)
    return classifier
