"""From labels and prompts to a classifier: what is in the cache is taken from there, class by class."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from clipcli import backbones
from clipcli.backbones.runtime import choose_runtime
from clipcli.classes.prompts import read_recipe
from clipcli.events import Event, result_of
from clipcli.memory.cache import Cache
from clipcli.scoring.build import classifier_and_backbone
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
    recipe = read_recipe(labels, prompts)
    runtime = choose_runtime(device=device, precision=precision)
    checkpoint = yield from backbones.find(backbones.DEFAULT_MODEL if model is None else model)()
    classifier, _ = yield from classifier_and_backbone(
        recipe, checkpoint=checkpoint, runtime=runtime, cache=Cache() if use_cache else None, towers=()
    )
    return classifier
