"""From labels and prompts to a classifier: what is in the cache is taken from there, class by class."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli import backbones
from clipcli.classes.prompts import read_prompted_classes
from clipcli.encoding.model import Model
from clipcli.events import Event, result_of
from clipcli.memory.cache import Cache
from clipcli.memory.memory import Memory
from clipcli.scoring.build import build
from clipcli.scoring.classifier import Classifier


def build_classifier(
    labels: str | Path | Sequence[str],
    *,
    prompts: str | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    cache: bool = True,
) -> Classifier:
    """A classifier for `labels` (a labels file, or a sequence of labels), to use again and again.

    `prompts` is a prompt set's name, a file or a template, by default `imagenet`; `model` is whatever `--model` takes.
    Its `class_embeddings` are `[C, D]` float32, L2-normalised. Raises the errors of `clipcli.errors`.
    """
    name = None if model is None else str(model)
    return result_of(run(labels, prompts=prompts, model=name, device=device, precision=precision, use_cache=cache))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """How the text tower runs; no image is encoded."""

    device: str
    precision: str
    batch_size: int | None = None
    workers: int | None = None
    decode: str = "exact"
    engine: str = "auto"
    verify: bool = False


def run(
    labels: str | Path | Sequence[str],
    *,
    prompts: str | None,
    model: str | None,
    device: str,
    precision: str,
    use_cache: bool,
) -> Generator[Event, None, Classifier]:
    """`build_classifier`, saying what it does."""
    prompted = read_prompted_classes(labels, prompts)
    memory = Memory(Cache() if use_cache else None)
    settings = _Settings(device=device, precision=precision)
    chosen = Model(backbones.DEFAULT_MODEL if model is None else model, settings, memory=memory)
    [classifier] = yield from build([prompted], model=chosen)
    return classifier
