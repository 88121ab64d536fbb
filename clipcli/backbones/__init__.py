"""Models by the names people give them: one file per origin of weights, one `Backbone` record for all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from clipcli.backbones import bundled, directory, files, hub, tags
from clipcli.backbones.checkpoint import Checkpoint, Fetch, fingerprint_of
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.events import Event

__all__ = ["DEFAULT_MODEL", "ORIGINS", "Checkpoint", "Fetch", "absolute_name", "fetch_all", "find", "fingerprint_of"]

# Each takes the text after `--model` and gives the way to the checkpoint, or `None` where the text is not of its kind.
# The first that takes it has it.
ORIGINS: dict[str, Callable[[str], Fetch | None]] = {
    "bundled": bundled.find,
    "directory": directory.find,
    "hf-hub": hub.find,
    "file": files.find,
    "tag": tags.find,
}


def find(model: str) -> Fetch:
    """The way to a model's checkpoint. Nothing is read or downloaded yet, but the name is checked.

    Raises `UnknownName`, with the nearest valid names.
    """
    for origin in ORIGINS.values():
        fetch = origin(model)
        if fetch is not None:
            return fetch
    raise tags.unknown_model(model)


def absolute_name(model: str) -> str:
    """The text by which the same model is found from any folder: with the whole path, where it holds one."""
    if model in bundled.BUNDLED or model.startswith(hub.PREFIX):
        return model
    return directory.absolute_name(model) or files.absolute_name(model) or model


def fetch_all(models: Sequence[str]) -> Generator[Event, None, list[Checkpoint]]:
    """The checkpoints of several models; all names are checked before the first is downloaded. Raises as `find`."""
    checkpoints: list[Checkpoint] = []
    for fetch in [find(model) for model in models]:
        checkpoints += [(yield from fetch())]
    return checkpoints
