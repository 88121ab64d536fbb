"""The models of an evaluation, and what earlier runs left of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.encoding.model import Model
from clipcli.events import Event
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory.cache import Cache, read_size
from clipcli.memory.memory import Memory


def memory_of(options: EvaluateSettings) -> Memory:
    """The memory that the settings ask for."""
    limit = None if options.cache_size is None else read_size(options.cache_size)
    return Memory(Cache(limit=limit) if options.cache else None)


def opened(names: Sequence[str], options: EvaluateSettings, *, memory: Memory) -> Generator[Event, None, list[Model]]:
    """The models, none of them loaded yet; all names are checked before the first is downloaded.

    Raises `UnknownName`, and `ModelUnavailable` where a model cannot be had.
    """
    watch = Stopwatch()
    models = [Model(name, options, memory=memory, watch=watch) for name in names]
    yield from memory.warnings()
    for model in models:
        model.check()
    for model in models:
        if model.facts is None:
            yield from model.checkpoint()
    return models
