"""Models in a directory, as open_clip and `clipcli train` save them."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

from clipcli.backbones.checkpoint import CONFIG_NAME, Checkpoint, Fetch, read_config
from clipcli.errors import ModelUnavailable
from clipcli.events import Event

# In the order in which open_clip looks for them.
WEIGHTS_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
_PREFIX = "local-dir:"


def find(model: str) -> Fetch | None:
    """The function that gets the checkpoint in a directory, or `None` if there is no such directory.

    The prefix `local-dir:` may stand before the path; then it is taken for a directory in any case.
    """
    path = absolute_name(model)
    return None if path is None else partial(fetch, Path(path), name=path)


def absolute_name(model: str) -> str | None:
    """The absolute path of the directory that `model` names, or `None` if it names none."""
    path = Path(model.removeprefix(_PREFIX)).expanduser()
    return str(path.absolute()) if model.startswith(_PREFIX) or (model and path.is_dir()) else None


def fetch(path: Path, *, name: str) -> Generator[Event, None, Checkpoint]:
    """Get the checkpoint in a directory, under the given name. Raises `ModelUnavailable` or `BadFile`."""
    yield from ()
    if not path.is_dir():
        raise ModelUnavailable(f"no folder {path}; check the path after --model")
    config = read_config(path / CONFIG_NAME, name=name)
    weights = next((path / file for file in WEIGHTS_NAMES if (path / file).is_file()), None)
    if weights is None:
        raise ModelUnavailable(f"{name} has no weights; put {WEIGHTS_NAMES[0]} beside its {CONFIG_NAME}")
    return Checkpoint(name=name, weights=weights, tokenizer=f"local-dir:{path}", **config)
