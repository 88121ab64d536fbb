"""A kill at any moment of tagging or untagging loses nothing: undo brings all back, and another run goes on."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import killed, lines_of

import clipcli

from .conftest import Predict, files_below
from .test_tag import MINE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the kills need os.fork")
ROUNDS = 25


def tag() -> object:
    return clipcli.tag("predictions.csv", apply=True)


def untag() -> object:
    return clipcli.tag("predictions.csv", untag=True, apply=True)


def undo() -> None:
    for journal in sorted(Path().glob("clipcli-journal-*.jsonl"), reverse=True):
        clipcli.undo(journal)


def contents() -> dict[str, bytes]:
    return {name: data for name, (data, _) in files_below("photos").items()}


@pytest.mark.parametrize("act", [tag, untag])
def test_a_kill_at_any_line_loses_nothing(predict: Predict, act: Callable[[], object]) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/b.jpg": ["cat"], "photos/c.jpg": ["dog"]})
    Path("photos/b.xmp").write_bytes(MINE)
    if act is untag:
        tag()
        for journal in Path().glob("clipcli-journal-*"):
            journal.rename(f"other-{journal.name}")
    before = files_below("photos")
    lines = lines_of(act)
    wanted = contents()
    undo()
    assert files_below("photos") == before
    draw, kills = random.Random(act.__name__), 0
    for n in range(ROUNDS):
        kills += killed(act, draw.randrange(1, lines))
        whole = {name: data for name, data in contents().items() if not name.endswith(".part")}
        for name, data in whole.items():
            assert data in (before.get(name, (None, 0))[0], wanted.get(name)), name
        if n % 2:
            act()
            assert contents() == wanted
        undo()
        assert files_below("photos") == before
    assert kills > ROUNDS / 2
