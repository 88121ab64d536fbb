"""The models of an evaluation, checked and fetched, and their classifiers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.encoding.embed import towers_for
from clipcli.encoding.model import Model
from clipcli.errors import ModelUnavailable
from clipcli.events import Event, Noted
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.memory import open_memory
from clipcli.memory.models import ModelFacts
from clipcli.records import ImageItem
from clipcli.scoring.build import add_vocabulary, build, build_with_vocabulary, check_belongs
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import becomes_softmax


@dataclass(frozen=True, slots=True)
class ModelWithClassifiers:
    """A model, and its classifiers: one for each prompt set."""

    model: Model
    classifiers: tuple[Classifier, ...]

    @property
    def facts(self) -> ModelFacts:
        """The model's facts, such as its name and fingerprint. Raises `ModelUnavailable` before they are known."""
        if self.model.facts is None:
            raise ModelUnavailable(f"nothing is known of {self.model.name}; load it first")
        return self.model.facts


def build_classifiers(
    options: EvaluateSettings,
    source: Classifier | tuple[PromptedClasses, ...],
    items: Sequence[ImageItem],
    *,
    vocabulary: bool,
) -> Generator[Event, None, list[ModelWithClassifiers]]:
    """Get all models with their classifiers; class embeddings that memory does not have are encoded now.

    With `vocabulary` each classifier has the common words to compare with.
    """
    default_model = source.model if isinstance(source, Classifier) else DEFAULT_MODEL
    models = yield from open_models(options.model or (default_model,), options)
    with_classifiers = []
    for model in models:
        if isinstance(source, Classifier):
            yield from check_belongs(source, model=model)
            towers = towers_for(items, model=model)
            classifiers = [(yield from add_vocabulary(source, model=model, towers=towers)) if vocabulary else source]
        else:
            builder = build_with_vocabulary if vocabulary else build
            classifiers = yield from builder(source, model=model, towers=towers_for(items, model=model))
        if options.refine and (note := becomes_softmax(classifiers[0])) is not None:
            yield Noted(note)
        with_classifiers.append(ModelWithClassifiers(model, tuple(classifiers)))
    return with_classifiers


def open_models(names: Sequence[str], options: EvaluateSettings) -> Generator[Event, None, list[Model]]:
    """Check all models by name, then fetch the checkpoints of those that memory knows nothing of.

    None is loaded yet. Raises `UnknownName`, and `ModelUnavailable` if a checkpoint cannot be fetched.
    """
    memory, watch = open_memory(cache=options.cache, cache_size=options.cache_size), Stopwatch()
    models = [Model(name, options, memory=memory, watch=watch) for name in names]
    yield from memory.warnings()
    for model in models:
        model.check()
    for model in models:
        if model.facts is None:
            yield from model.checkpoint()
    return models
