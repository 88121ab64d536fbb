"""A kill at any moment loses nothing: after undo every file is where it was, and after another run where it belongs."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import killed, lines_of

import clipcli
from clipcli.actions import files

from .conftest import LABELS, SIDECARS, files_below

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the kills need os.fork")
WAYS = ("copy", "move", "move across", "hardlink", "symlink")
# With the undoing killed too, four processes for each of these.
ROUNDS = 20


def sort(way: str) -> Callable[[], object]:
    return lambda: clipcli.sort("predictions.csv", into="sorted", by=way.split()[0], apply=True)


def undo() -> None:
    for journal in Path("sorted").glob("clipcli-journal-*.jsonl"):
        clipcli.undo(journal)


@pytest.fixture
def across(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the folder `sorted` another file system than the rest."""

    def on_two() -> None:
        rename = files.rename_new

        def refuse(source: str, target: str) -> None:
            if ("/sorted/" in source) != ("/sorted/" in target):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            rename(source, target)

        monkeypatch.setattr(files, "rename_new", refuse)

    return on_two


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("album")
def test_a_kill_at_any_line_loses_nothing(way: str, across: Callable[[], None]) -> None:
    if "across" in way:
        across()
    before = files_below("photos")
    sorting = lines_of(sort(way))
    wanted = files_below("sorted")
    assert sorted(wanted.values()) == sorted(before.values())
    undoing = lines_of(undo)
    assert (files_below("photos"), files_below("sorted")) == (before, {})
    draw, kills = random.Random(way), 0
    for n in range(ROUNDS):
        kills += killed(sort(way), draw.randrange(1, sorting))
        check_places(way, before)
        if n % 2:
            # The same command goes on where the other was killed.
            kills += killed(sort(way), draw.randrange(1, sorting))
            sort(way)()
            assert files_below("sorted") == wanted
            assert files_below("photos") == ({} if "move" in way else before)
        kills += killed(undo, draw.randrange(1, undoing))
        check_places(way, before)
        undo()
        assert files_below("photos") == before
        left = {path.name for path in Path("sorted").rglob("*")}
        # A journal that has no first line yet is hidden; the next one removes it.
        assert {name for name in left if not name.lstrip(".").startswith("clipcli-journal-")} == set()
    assert kills > ROUNDS


def check_places(way: str, before: dict[str, str]) -> None:
    """Every file is whole in one of its two places at least; a file that is renamed is in exactly one."""
    there, here = (
        {name: text for name, text in files_below(folder).items() if not name.endswith(".part")}
        for folder in ("photos", "sorted")
    )
    assert set(here.values()) | set(there.values()) == set(before.values())
    assert there.items() <= before.items()
    if way == "move":
        assert sorted([*here.values(), *there.values()]) == sorted(before.values())
    elif "across" not in way:
        assert there == before


def test_there_are_enough_kills() -> None:
    assert len(WAYS) * ROUNDS >= 100
    assert len(LABELS) + len(SIDECARS) == 10
