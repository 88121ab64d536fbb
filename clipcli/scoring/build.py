"""Builds classifiers from classes and prompts; class embeddings in memory are not encoded again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from clipcli.backbones.checkpoint import TEXT
from clipcli.classes.labels import duplicate_warnings
from clipcli.classes.prompts import PromptedClasses
from clipcli.encoding.label_checks import check_labels, label_warnings, remembered_checks
from clipcli.encoding.model import Model
from clipcli.errors import ModelUnavailable, WeightsMismatch
from clipcli.events import ClassesEncoded, Event, ModelKnown, Warned
from clipcli.memory.classes import class_key
from clipcli.scoring.classifier import Classifier, classifier_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipcli.backbones.backbone import Backbone
    from clipcli.memory.models import ModelFacts


def build(
    prompted: Sequence[PromptedClasses], *, model: Model, towers: Sequence[str] = ()
) -> Generator[Event, None, list[Classifier]]:
    """Build one classifier for each of `prompted`, all with one model.

    Classes that are not in memory are encoded. For that, or if the model's facts are not in memory, the model is loaded
    with at least these `towers`: a caller that will need the image tower anyway names it, and weights are read once.
    Yields `Warned`, `ModelKnown`, `ModelLoaded`, `ClassesEncoded`. Raises the errors of loading a model.
    """
    with model.watch.on("labels"):
        return (yield from _built(prompted, model, towers))


def _built(
    prompted: Sequence[PromptedClasses], model: Model, towers: Sequence[str]
) -> Generator[Event, None, list[Classifier]]:
    for message in dict.fromkeys(message for one in prompted for message in duplicate_warnings(one.classes)):
        yield Warned(message)
    fingerprint, precision = yield from model.identity()
    prompts = [one.prompts() for one in prompted]
    keys = [[class_key(texts, fingerprint=fingerprint, precision=precision) for texts in one] for one in prompts]
    wanted = dict(zip(chain(*keys), chain(*prompts), strict=True))
    names = {key: c.names for key, c in zip(chain(*keys), chain(*(one.classes for one in prompted)), strict=True)}
    embeddings, found = model.memory.get(list(wanted)), remembered_checks(list(wanted), memory=model.memory)
    yield from model.memory.warnings()
    if model.facts is not None and embeddings.keys() >= wanted.keys():
        yield _known(model.facts)
    else:
        missing = [key for key in wanted if key not in embeddings]
        backbone = yield from model.load(*towers, *([TEXT] if missing else []))
        embeddings |= yield from _encoded(missing, wanted, backbone=backbone, model=model)
        if missing:
            names, prompts_of = ({key: some[key] for key in missing} for some in (names, wanted))
            found |= check_labels(names, prompts_of, backbone=backbone, memory=model.memory)
    yield from label_warnings(found, model=model.name)
    if model.facts is None:
        raise ModelUnavailable(f"nothing is known of {model.name}; load it first")
    facts = model.facts
    return [
        classifier_of(one, np.stack([embeddings[key] for key in class_keys]), facts)
        for one, class_keys in zip(prompted, keys, strict=True)
    ]


def check_belongs(classifier: Classifier, *, model: Model) -> Generator[Event, None, None]:
    """Check that a classifier was made with this model. Raises `WeightsMismatch`, and as `Model.identity`."""
    fingerprint, _ = yield from model.identity()
    if fingerprint != classifier.fingerprint:
        raise WeightsMismatch(
            f"the classifier was made with {classifier.model} and not with these weights of {model.name}; "
            f"give --model {classifier.model}, or make the classifier anew"
        )
    if model.facts is not None:
        yield _known(model.facts)


def _known(facts: ModelFacts) -> ModelKnown:
    return ModelKnown(facts.name, facts.precision, facts.details, facts.record(None))


def _encoded(
    missing: Sequence[str], wanted: Mapping[str, Sequence[str]], *, backbone: Backbone, model: Model
) -> Generator[Event, None, dict[str, NDArray[np.float32]]]:
    """Encode the classes of the `missing` keys; `wanted` are the prompts of all. Returns an embedding `[D]` a key."""
    from clipcli.encoding.ensemble import encode_classes

    known = len(wanted) - len(missing)
    mean = sum(map(len, wanted.values())) / len(wanted)
    start = ClassesEncoded(known, len(wanted), known, mean)
    yield start
    prompts = {key: wanted[key] for key in missing}
    return (yield from encode_classes(prompts, backbone=backbone, memory=model.memory, start=start))
