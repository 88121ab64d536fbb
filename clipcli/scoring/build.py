"""From classes and prompts to a classifier: what is in the cache is taken from there, class by class."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import Checkpoint, fingerprint
from clipcli.backbones.load import load
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import IMAGE, TEXT
from clipcli.classes.labels import duplicate_warnings
from clipcli.classes.prompts import Recipe
from clipcli.encoding.ensemble import encode_classes
from clipcli.errors import CacheUnusable, WeightsMismatch
from clipcli.events import ClassesEncoded, Event, ModelLoaded, Warned
from clipcli.memory.cache import Cache
from clipcli.memory.classes import class_key
from clipcli.memory.models import known_of
from clipcli.scoring.classifier import Classifier, classifier_of


def classifier_and_backbone(
    recipe: Recipe, *, checkpoint: Checkpoint, runtime: Runtime, cache: Cache | None, towers: Sequence[str]
) -> Generator[Event, None, tuple[Classifier, Backbone]]:
    """The classifier of a recipe, and the backbone it was made with, which has at least these `towers`.

    The text tower is only built where some class is not in the cache.
    """
    [classifier], backbone = yield from classifiers_and_backbone(
        [recipe], checkpoint=checkpoint, runtime=runtime, cache=cache, towers=towers
    )
    return classifier, backbone


def classifiers_and_backbone(
    recipes: Sequence[Recipe], *, checkpoint: Checkpoint, runtime: Runtime, cache: Cache | None, towers: Sequence[str]
) -> Generator[Event, None, tuple[list[Classifier], Backbone]]:
    """`classifier_and_backbone` for several recipes of one model, which is loaded once."""
    for message in dict.fromkeys(message for recipe in recipes for message in duplicate_warnings(recipe.classes)):
        yield Warned(message)
    prompts = [recipe.prompts() for recipe in recipes]
    print_ = fingerprint(checkpoint)
    keys = [
        [class_key(texts, fingerprint=print_, precision=runtime.precision) for texts in classes] for classes in prompts
    ]
    wanted = {
        key: texts
        for of_keys, of_texts in zip(keys, prompts, strict=True)
        for key, texts in zip(of_keys, of_texts, strict=True)
    }
    try:
        embeddings = cache.get(list(wanted)) if cache else {}
    except CacheUnusable as e:
        yield Warned(f"{e}; going on without it")
        cache, embeddings = None, {}
    missing = {key: texts for key, texts in wanted.items() if key not in embeddings}
    backbone = load(checkpoint, runtime=runtime, towers=(*towers, TEXT) if missing else towers)
    known = known_of(checkpoint, backbone)
    yield ModelLoaded(checkpoint.name, str(runtime), str(backbone), known.facts(runtime.device))
    mean = sum(len(texts) for classes in prompts for texts in classes) / sum(map(len, prompts))
    start = ClassesEncoded(len(embeddings), len(wanted), len(embeddings), mean)
    yield start
    embeddings |= yield from encode_classes(missing, backbone=backbone, cache=cache, start=start)
    made = [
        classifier_of(recipe, np.stack([embeddings[key] for key in of_keys]), known)
        for recipe, of_keys in zip(recipes, keys, strict=True)
    ]
    return made, backbone


def load_for(classifier: Classifier, checkpoint: Checkpoint, runtime: Runtime) -> Backbone:
    """The image tower that a ready classifier belongs to. Raises `WeightsMismatch` for another model's."""
    if fingerprint(checkpoint) != classifier.fingerprint:
        raise WeightsMismatch(
            f"the classifier was made with {classifier.model} and not with these weights of {checkpoint.name}; "
            f"give --model {classifier.model}, or make the classifier anew"
        )
    return load(checkpoint, runtime=runtime, towers=(IMAGE,))
