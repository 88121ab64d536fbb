"""Embeddings of the common nouns that a user's labels are set against, by the prompts of the labels."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, load_prompts
from clipcli.classes.vocabulary import vocabulary
from clipcli.encoding.model import Model
from clipcli.errors import ClipcliError
from clipcli.events import Event, ModelKnown, Noted, Result, Warned
from clipcli.scoring.build import embed_classes
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.competitors import competitors


def nouns_beside(
    classifier: Classifier, class_source: Classifier | PromptedClasses, *, model: Model
) -> Generator[Event, None, NDArray[np.float32]]:
    """The embeddings `[V, D]` of the nouns of the generic vocabulary that mean something else than every class.

    They are by the prompts of the classes; if a classifier was made with prompts of its own, which it does not hold,
    by the default ones. They are cached as classes are. Yields events as `build` does.
    """
    words = vocabulary()
    if isinstance(class_source, PromptedClasses):
        prompt_set = class_source.prompt_set
        names = [name for labelled in class_source.classes for name in labelled.names]
    else:
        names = list(class_source.labels)
        try:
            prompt_set = load_prompts(class_source.prompts)
        except ClipcliError:
            prompt_set = load_prompts(DEFAULT_PROMPTS)
            yield Noted(
                f"the classifier's prompts, {class_source.prompts}, are not here: common nouns that its labels are"
                f" compared with have the prompts {DEFAULT_PROMPTS}"
            )
    prompted = PromptedClasses(tuple(map(LabelledClass, words)), prompt_set)
    found = yield from _unsaid(embed_classes(prompted.prompts(), names=[(word,) for word in words], model=model))
    embeddings = np.stack(found)
    others = competitors(words, embeddings, names=names, class_embeddings=classifier.class_embeddings)
    chosen: NDArray[np.float32] = embeddings[others]
    return chosen


def _unsaid(events: Generator[Event, None, Result]) -> Generator[Event, None, Result]:
    """The events but for warnings about words that are not the user's, and that the model is known."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if not isinstance(event, Warned | ModelKnown):
            yield event
