"""CLIP models by the names people give them: a module for each place that weights come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from clipcli.backbones import bundled, directory, files, hub, hub_names, tags
from clipcli.backbones.checkpoint import Checkpoint, Fetch, fingerprint_of
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.events import Event

__all__ = [
    "DEFAULT_MODEL",
    "ORIGINS",
    "Checkpoint",
    "Fetch",
    "absolute_name",
    "fetch_all",
    "find",
    "fingerprint_of",
    "place_of",
]

# Each function takes the text after `--model`. It returns a `Fetch`, or `None` where the text is not of its kind. They
# are tried in this order.
ORIGINS: dict[str, Callable[[str], Fetch | None]] = {
    "bundled": bundled.find,
    "directory": directory.find,
    "hf-hub": hub.find,
    "file": files.find,
    "tag": tags.find,
    "name of the hub": hub_names.find,
}


def find(model: str) -> Fetch:
    """Check a model's name and return the function that gets its checkpoint. Nothing is read or downloaded yet.

    Raises `UnknownName`, with the nearest valid names.
    """
    for origin in ORIGINS.values():
        fetch = origin(model)
        if fetch is not None:
            return fetch
    raise tags.unknown_model(model)


def absolute_name(model: str) -> str:
    """The model's name with its path made absolute, if it has one: it means the same from any working folder."""
    if model in bundled.BUNDLED or model.startswith(hub.PREFIX):
        return model
    return directory.absolute_name(model) or files.absolute_name(model) or model


def fetch_all(models: Sequence[str]) -> Generator[Event, None, list[Checkpoint]]:
    """Get the checkpoints of several models. All names are checked before the first download.

    Yields `Downloading`. Raises `UnknownName`, `ModelUnavailable` or `BadFile`.
    """
    checkpoints: list[Checkpoint] = []
    for fetch in [find(model) for model in models]:
        checkpoints += [(yield from fetch())]
    return checkpoints


def place_of(checkpoint: Checkpoint) -> str:
    """Where the weights lie, for messages: their folder, but for those that clipcli or the hub's cache keeps."""
    if checkpoint.name in bundled.BUNDLED:
        return "clipcli itself"
    folder = checkpoint.weights.parent
    return f"the hub's cache, {folder.parents[2]}" if folder.parent.name == "snapshots" else str(folder)
