"""The house's rooms: each imports only from itself and from rooms above it, and only the command line speaks."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest
from places import ROOT

import clipcli

PACKAGE = Path(clipcli.__file__).parent
# From top to bottom. A room imports from those before it, inside functions and for types too, so that no circle is
# possible; the modules at the top import each other in this order as well.
ROOMS = runpy.run_path(str(ROOT / "docs" / "make.py"))["ROOMS"]
PLACE = {room: place for place, room in enumerate(ROOMS)}
# The package's front door and `python -m clipcli` reach into every room.
DOORS = {"__init__", "__main__"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.stem not in DOORS or path.parent != PACKAGE)
HEAVY = {"torch", "open_clip", "timm", "transformers"}
# What is there before a model is: `--help`, checks, and runs that need no model.
LIGHT = ("version", "errors", "records", "events", "files", "classes", "data", "memory", "outputs", "report", "actions")


def room_of(path: Path) -> str:
    """The room that a module is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, *, types_too: bool = True) -> set[str]:
    """Everything a module imports, inside functions too, by its dotted name; with or without what is for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    left_out = {id(inner) for block in for_types for inner in ast.walk(block)} if not types_too else set()
    found = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_above(path: Path) -> None:
    used = {name.split(".")[1] for name in imports_of(path) if name.startswith("clipcli.")} & set(ROOMS)
    assert {room for room in used if PLACE[room] > PLACE[room_of(path)]} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_commands_stand_side_by_side(path: Path) -> None:
    """A module beside them may be shared; it knows none of them."""
    if room_of(path) != "commands":
        return
    beside = {module.stem for module in (PACKAGE / "commands").glob("*.py")}
    command = path.relative_to(PACKAGE).parts[1]
    used = {name.split(".")[2] for name in imports_of(path) if name.startswith("clipcli.commands.")}
    assert used <= beside | ({command} if path.parent.name != "commands" else set())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_light_rooms_know_nothing_of_torch(path: Path) -> None:
    if room_of(path) in LIGHT:
        assert {name.split(".")[0] for name in imports_of(path, types_too=False)} & HEAVY == set()


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
