"""Models that come with the package, asked for by name and never used in place of another."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from clipcli.backbones import directory
from clipcli.backbones.checkpoint import Fetch

# Each with where it is from.
BUNDLED = {"tiny": "clipcli itself, for trying, testing and teaching, not for real work"}


def folder(name: str) -> Path:
    """Where the bundled model of this name lies."""
    return Path(__file__).parent.parent / "models" / name


def as_path(folder: Path) -> str:
    """How a folder is given as a model, also one that is called as a bundled model is."""
    return f"./{folder}" if str(folder) in BUNDLED else str(folder)


def find(model: str) -> Fetch | None:
    """The way to a bundled model, if this is the name of one."""
    if model not in BUNDLED:
        return None
    return partial(directory.fetch, folder(model), name=model)
