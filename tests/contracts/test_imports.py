"""The house's storeys: a room imports only from its own storey or below, and nothing imports the command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import clipcli

PACKAGE = Path(clipcli.__file__).parent
LAYERS = {
    0: ["atomic", "errors", "types", "events", "score_kinds", "runtime_kinds", "stopwatch"],
    1: [
        "labels",
        "prompts",
        "sources",
        "pairs",
        "classifier",
        "score",
        "metrics",
        "resume",
        "rows",
        "writers",
        "cache",
        "known",
        "image_store",
        "report",
    ],
    2: [
        "runtime",
        "backbones",
        "images",
        "decode_threads",
        "ensemble",
        "embed",
        "engines",
        "card_decode",
        "batch_size",
    ],
    3: ["evaluation", "training", "pipelines"],
    4: ["cli"],
}
LAYER_OF = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
# The package's front door and `python -m clipcli` reach into every room.
DOORS = {"__init__", "__main__"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.stem not in DOORS or path.parent != PACKAGE)
HEAVY = {"torch", "open_clip", "timm", "transformers"}


def room_of(path: Path) -> str:
    """The room that a module is in."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Everything a module imports, inside functions too, by its dotted name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_room_has_a_storey() -> None:
    assert {room_of(path) for path in MODULES} == set(LAYER_OF)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_below(path: Path) -> None:
    layer = LAYER_OF[room_of(path)]
    used = {name.split(".")[1] for name in imports_of(path) if name.startswith("clipcli.")} & set(LAYER_OF)
    assert {room for room in used if LAYER_OF[room] > layer} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_lower_storeys_know_nothing_of_torch(path: Path) -> None:
    if LAYER_OF[room_of(path)] <= 1:
        assert {name.split(".")[0] for name in imports_of(path)} & HEAVY == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_speaks(path: Path) -> None:
    if room_of(path) == "cli":
        return
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"print", "exit", "quit"} == set()
    assert "rich" not in {name.split(".")[0] for name in imports_of(path)}
