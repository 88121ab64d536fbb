"""The models of an evaluation: checked and fetched, but not loaded."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.encoding.model import Model
from clipcli.events import Event
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.memory import open_memory


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
