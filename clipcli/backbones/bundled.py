"""Models that come with the package. They are used only when asked for by name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from clipcli.backbones import directory
from clipcli.backbones.checkpoint import Fetch

# Each name with its origin, as `clipcli models` shows it.
BUNDLED = {"tiny": "clipcli itself: everyday words on everyday photos, for a first look, testing and teaching"}


def folder(name: str) -> Path:
    """The folder of the bundled model of this name."""
    return Path(__file__).parent.parent / "models" / name


def as_path(folder: Path) -> str:
    """Write a folder so that `--model` takes it for a folder, even if it has the name of a bundled model."""
    return f"./{folder}" if str(folder) in BUNDLED else str(folder)


def find(model: str) -> Fetch | None:
    """The function that gets a bundled model's checkpoint, or `None` if no bundled model has this name."""
    if model not in BUNDLED:
        return None
    return partial(directory.fetch, folder(model), name=model)
